"""What a ``qemu:`` URI asks for: the device in QEMU's words, and options about it."""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass
from typing import Self

from pymmio.backend.qtest.device_words import DeviceWords
from pymmio.errors import UriError
from pymmio.uri import DeviceUri

__all__ = ["MachineKind", "Options"]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]+)([KMGT]?)(?:I?B)?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_OURS = ("addr", "bus", "id", "multifunction")

KNOWN = {
    "binary": "the QEMU program to use",
    "drive": "file with the contents of a disk",
    "format": "the format of that file (raw)",
    "iommu": "on or off: whether the device reaches DMA buffers alone (on; q35 only)",
    "machine": "q35 or pc",
    "memory": "file with the contents of a device's memory",
    "ram": "how much memory there is for DMA (1G)",
    "server": "socket that the device talks to (ivshmem-doorbell, vhost-user)",
    "size": "size of the file of drive or memory, which is made if it is missing",
    "timeout": "seconds that QEMU may take to answer (30)",
}

RAM_LIMITS = (16 << 20, 64 << 30)
TIMEOUT_LIMITS_S = (0.1, 86400.0)


class MachineKind(enum.StrEnum):
    """The machines that QEMU can be."""

    Q35 = "q35"  #: PCI Express, an IOMMU
    PC = "pc"  #: conventional PCI, as of 1996


@dataclass(frozen=True, slots=True)
class Options:
    """A URI in its parts, checked as far as that is possible without QEMU."""

    device: str  #: what follows QEMU's -device: see DeviceWords
    machine: MachineKind = MachineKind.Q35
    binary: str | None = None
    ram: int = 1 << 30
    drive: str | None = None
    format: str = "raw"
    memory: str | None = None
    server: str | None = None
    size: int | None = None
    iommu: bool = True
    timeout_s: float = 30.0

    @classmethod
    def of(cls, uri: DeviceUri) -> Self:
        """Take the URI apart.  Raises UriError."""
        given = dict(uri.options)
        for name in given:
            if name not in KNOWN:
                raise UriError(
                    f"{uri}: there is no option {name!r}",
                    hint="Options are "
                    + "; ".join(f"{known}: {what}" for known, what in KNOWN.items())
                    + ". Properties of the device stand before the '?'",
                )
        _check_device(uri)
        machine = _machine(given.get("machine", "q35"))
        is_passed_on = DeviceWords(uri.target).model.startswith("vfio-")
        has_iommu = machine is MachineKind.Q35 and not is_passed_on
        size = given.get("size")
        if size is not None and not {"drive", "memory"} & set(given):
            raise UriError(f"{uri}: size= is of a file, and there is none", hint="Add drive=FILE")
        if {"drive", "memory"} <= set(given) and size is not None:
            raise UriError(
                f"{uri}: which file is to have size={size}?", hint="Make the files first"
            )
        options = cls(
            device=uri.target,
            machine=machine,
            binary=given.get("binary"),
            ram=_size("ram", given.get("ram", "1G")),
            drive=_path("drive", given),
            format=given.get("format", "raw"),
            memory=_path("memory", given),
            server=_path("server", given),
            size=None if size is None else _size("size", size),
            iommu=_switch("iommu", given["iommu"]) if "iommu" in given else has_iommu,
            timeout_s=_seconds(given.get("timeout", "30")),
        )
        if options.iommu and is_passed_on:
            # Each new mapping would have to be announced to QEMU (caching mode of VT-d).
            raise UriError(
                f"{uri}: a device that QEMU has from elsewhere is used without an IOMMU",
                hint="Leave iommu= out",
            )
        if options.iommu and not has_iommu:
            raise UriError(f"{uri}: machine=pc has no IOMMU", hint="Use machine=q35, or iommu=off")
        if not RAM_LIMITS[0] <= options.ram <= RAM_LIMITS[1] or options.ram % (1 << 20):
            raise UriError(
                f"{uri}: ram={given['ram']} is out of range", hint="Write 16M to 64G, whole MiB"
            )
        if not _NAME.fullmatch(options.format):
            raise UriError(f"format={options.format!r} is no format", hint="Write raw, qcow2, ...")
        return options

    @property
    def model(self) -> str:
        """QEMU's name of the device."""
        return DeviceWords(self.device).model


def _check_device(uri: DeviceUri) -> None:
    for name in DeviceWords(uri.target).properties:
        if name in _OURS:
            raise UriError(
                f"{uri}: the property {name!r} is set by pymmio",
                hint="Leave it out: the device is function 0 on a bus of its own",
            )


def _machine(text: str) -> MachineKind:
    try:
        return MachineKind(text)
    except ValueError:
        raise UriError(
            f"machine={text!r} is none that can be used", hint="Choose q35 or pc"
        ) from None


def _path(name: str, given: dict[str, str]) -> str | None:
    text = given.get(name)
    if text == "":
        raise UriError(f"option {name}= is empty", hint=f"Write {name}=FILE")
    return None if text is None else os.path.abspath(text)


def _size(name: str, text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None or not int(found[1]):
        raise UriError(
            f"option {name}={text!r} is not a size",
            hint="Write bytes, or a number with K, M, G or T such as 64M",
        )
    return int(found[1]) * _UNITS[found[2].upper()]


def _switch(name: str, text: str) -> bool:
    if text not in ("on", "off"):
        raise UriError(f"option {name}={text!r} is neither on nor off", hint=f"Write {name}=on")
    return text == "on"


def _seconds(text: str) -> float:
    low, high = TIMEOUT_LIMITS_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not low <= seconds <= high:
        raise UriError(
            f"option timeout={text!r} is out of range", hint=f"Write seconds, {low:g} to {high:g}"
        )
    return seconds
