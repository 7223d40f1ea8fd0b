"""Feature bits and their negotiation (virtio 1.2 §2.2, §6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from pymmio.errors import FeatureMissing

__all__ = [
    "ACCESS_PLATFORM",
    "EVENT_IDX",
    "INDIRECT_DESC",
    "IN_ORDER",
    "NOTIFICATION_DATA",
    "ORDER_PLATFORM",
    "RESERVED_FEATURES",
    "RING_PACKED",
    "RING_RESET",
    "SR_IOV",
    "VERSION_1",
    "Feature",
    "FeatureSet",
    "negotiate",
]


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature bit; ``qemu`` is the device option that makes QEMU offer it."""

    bit: int
    name: str
    qemu: str | None = None

    @property
    def mask(self) -> int:
        """The bit as a number."""
        return 1 << self.bit

    def __str__(self) -> str:
        return self.name


INDIRECT_DESC = Feature(28, "VIRTIO_F_INDIRECT_DESC", "indirect_desc=on")
EVENT_IDX = Feature(29, "VIRTIO_F_EVENT_IDX", "event_idx=on")
VERSION_1 = Feature(32, "VIRTIO_F_VERSION_1", "disable-modern=off")
ACCESS_PLATFORM = Feature(33, "VIRTIO_F_ACCESS_PLATFORM", "iommu_platform=on")
RING_PACKED = Feature(34, "VIRTIO_F_RING_PACKED", "packed=on")
IN_ORDER = Feature(35, "VIRTIO_F_IN_ORDER", "in_order=on")
ORDER_PLATFORM = Feature(36, "VIRTIO_F_ORDER_PLATFORM")
SR_IOV = Feature(37, "VIRTIO_F_SR_IOV")
NOTIFICATION_DATA = Feature(38, "VIRTIO_F_NOTIFICATION_DATA")
RING_RESET = Feature(40, "VIRTIO_F_RING_RESET", "queue_reset=on")

RESERVED_FEATURES = (
    INDIRECT_DESC,
    EVENT_IDX,
    VERSION_1,
    ACCESS_PLATFORM,
    RING_PACKED,
    IN_ORDER,
    ORDER_PLATFORM,
    SR_IOV,
    NOTIFICATION_DATA,
    RING_RESET,
)
"""The features that do not depend on the kind of device (§6)."""


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Some features as one number: ``feature in features``, iteration over set bits."""

    value: int

    def __contains__(self, feature: Feature) -> bool:
        return bool(self.value & feature.mask)

    def __iter__(self) -> Iterator[int]:
        return (bit for bit in range(self.value.bit_length()) if self.value >> bit & 1)

    def names(self, known: Iterable[Feature] = ()) -> list[str]:
        """Return a name for each bit: its own, or "bit N"."""
        names = {f.bit: f.name for f in (*RESERVED_FEATURES, *known)}
        return [names.get(bit, f"bit {bit}") for bit in self]

    def __str__(self) -> str:
        return ", ".join(self.names()) or "none"


def negotiate(
    offered: FeatureSet,
    *,
    name: str,
    required: Collection[Feature] = (),
    wanted: Collection[Feature] = (),
    is_translated: bool,
) -> FeatureSet:
    """Choose from what the device offers; pure.

    VERSION_1 is always required, ACCESS_PLATFORM where ``is_translated`` says that the device
    sees other addresses than the machine's, and taken where offered; so is ORDER_PLATFORM.
    Raises FeatureMissing that names each missing feature and how QEMU offers it.
    """
    needed = [VERSION_1, *required]
    if is_translated:
        needed.append(ACCESS_PLATFORM)
    missing = [feature for feature in needed if feature not in offered]
    if missing:
        raise FeatureMissing(
            f"{name} does not offer {', '.join(map(str, missing))}, which is needed"
            f" (it offers {offered})",
            hint=_hint(missing),
        )
    chosen = 0
    for feature in (*needed, ACCESS_PLATFORM, ORDER_PLATFORM, *wanted):
        chosen |= offered.value & feature.mask
    return FeatureSet(chosen)


def _hint(missing: Collection[Feature]) -> str:
    if VERSION_1 in missing:
        return (
            "It is a legacy (0.9.5) device, which pymmio does not drive;"
            " with QEMU use disable-modern=off,disable-legacy=on"
        )
    options = ",".join(feature.qemu for feature in missing if feature.qemu)
    if not options:
        return "Another device, or a newer version of it, is needed"
    return f"With QEMU give the device {options}"
