"""What no PCI function can be: found when a device model is served, with the reason."""

from __future__ import annotations

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.errors import DeclarationError

__all__ = ["msix_table_size", "require_possible"]

MSIX_ENTRY = 16
SMALLEST_BAR = 16
LAST_BAR = 5
MOST_MSI = 32  # PCI Local Bus 3.0, 6.8.1.3
MOST_MSIX = 2048  # PCI Local Bus 3.0, 6.8.2.3

_BITS = {
    "vendor_id": 16,
    "device_id": 16,
    "subsystem_vendor_id": 16,
    "subsystem_id": 16,
    "revision_id": 8,
    "class_code": 24,
}


def msix_table_size(vectors: int) -> int:
    """Return the bytes that an MSI-X table and, behind it, its PBA take."""
    return vectors * MSIX_ENTRY + (vectors + 63) // 64 * 8


def require_possible(model: DeviceModel) -> None:
    """Raise DeclarationError, with the name of the class, for what no PCI function can be."""
    for wrong in (_wrong_identity(model), _wrong_bars(model), _wrong_vectors(model)):
        if wrong:
            raise DeclarationError(f"{type(model).__name__}: {wrong}")


def _wrong_identity(model: DeviceModel) -> str:
    for name, bits in _BITS.items():
        value = getattr(model, name, None)
        if not isinstance(value, int):
            return f"{name} is {value!r}: set it to a number of {bits} bits"
        if value >> bits:
            return f"{name} is {value:#x}, which has more than {bits} bits"
    return ""


def _wrong_bars(model: DeviceModel) -> str:
    taken: dict[int, BarSpec] = {}
    for bar in model.bars:
        if bar.size < SMALLEST_BAR or bar.size & (bar.size - 1):
            return f"BAR{bar.index} has {bar.size} bytes: it needs a power of two, 16 at least"
        slots = (bar.index, bar.index + 1) if bar.is_64bit else (bar.index,)
        if not 0 <= bar.index <= LAST_BAR:
            return f"there is no BAR{bar.index}: BARs are 0 to {LAST_BAR}"
        if slots[-1] > LAST_BAR:
            return f"there is no BAR{slots[-1]}: {_pair(bar)}"
        for slot in slots:
            other = taken.setdefault(slot, bar)
            if other is bar:
                continue
            if other.index == bar.index:
                return f"two are BAR{bar.index}"
            pair = _pair(bar if slot == other.index else other)
            return f"BAR{bar.index} overlaps BAR{other.index}: {pair}"
    return ""


def _pair(bar: BarSpec) -> str:
    return f"BAR{bar.index} has 64 bits and takes two places (is_64bit=False takes one)"


def _wrong_vectors(model: DeviceModel) -> str:
    if not 0 <= model.msi_vectors <= MOST_MSI:
        return f"msi_vectors is {model.msi_vectors}: there are {MOST_MSI} at most"
    if not 0 <= model.msix_vectors <= MOST_MSIX:
        return f"msix_vectors is {model.msix_vectors}: there are {MOST_MSIX} at most"
    if not model.msix_vectors:
        return ""
    bar = next((bar for bar in model.bars if bar.index == model.msix_bar), None)
    if bar is None:
        return f"msix_bar is {model.msix_bar}: name the BAR that the MSI-X table is in"
    if model.msix_offset < 0 or model.msix_offset % 8:
        return f"msix_offset is {model.msix_offset:#x}: it needs a multiple of 8"
    end = model.msix_offset + msix_table_size(model.msix_vectors)
    if end > bar.size:
        return (
            f"the MSI-X table of {model.msix_vectors} vectors and its PBA end at {end:#x},"
            f" BAR{bar.index} at {bar.size:#x}"
        )
    return ""
