"""Write down what a device holds: configuration space, BARs in a declared width, the ROM.

A read may change a device: it pops a FIFO, clears a status.  So a BAR is dumped only if
its registers are declared and none of them says that, or it is plain memory, or by force.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pymmio.device import Device
from pymmio.errors import (
    AccessError,
    BadArgument,
    ProtocolError,
    UnsafeRead,
    Unsupported,
)
from pymmio.handle import CONFIG_REGION
from pymmio.mmio import Region
from pymmio.regs import BoundRegister, Register, RegisterFile
from pymmio.regs.file import Place

__all__ = ["DumpedRegion", "Hole", "dump_region", "reading_refused", "write_dump"]

FORMAT = 1
_CHUNK = 4096
_CONFIG_WIDTH = 4
_ROM = 6


@dataclass(frozen=True, slots=True)
class Hole:
    """A part of a region that could not be read; it is 0 in the bytes."""

    offset: int
    size: int
    why: str

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {"offset": self.offset, "size": self.size, "why": self.why}


@dataclass(frozen=True, slots=True)
class DumpedRegion:
    """The bytes of a region, read in accesses of ``width`` bytes."""

    index: int
    name: str
    width: int
    content: bytes
    holes: tuple[Hole, ...] = ()


def reading_refused(
    device: Device, index: int, registers: RegisterFile | None = None
) -> str | None:
    """Return why region ``index`` may not be read as a whole; None if it may be.

    ``registers`` are those that the device's driver declares, wherever they are.
    """
    info = device.regions.get(index)
    if info is not None and (info.is_ram or index in (_ROM, CONFIG_REGION)):
        return None
    region = device.region(index)
    if region.rule.read_side_effects:
        return "its rule says that reads have side effects"
    if registers is None or registers.region is not region:
        return "no driver declares what its reads do"
    names = [
        place.name for place in type(registers).places.values() if _side_effects(registers, place)
    ]
    return f"reads of {', '.join(names)} have side effects" if names else None


def dump_region(
    device: Device,
    index: int,
    width: int,
    *,
    registers: RegisterFile | None = None,
    force: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> DumpedRegion:
    """Read a whole region in accesses of ``width`` bytes, low address first.

    ``on_progress`` is called with the bytes that were read since the last time.  Parts that
    the backend refuses (VFIO hides the MSI-X table) are holes.  Raises UnsafeRead unless
    the reads are known to be harmless or ``force`` is given, and what a read raises if
    nothing at all can be read.
    """
    why = None if force else reading_refused(device, index, registers)
    if why is not None:
        raise UnsafeRead(
            f"{device.name}: region {index} is not dumped: {why}",
            hint="Force it if you know that reading every address does no harm",
        )
    region = device.region(index)
    if width not in (1, 2, 4, 8) or region.size % width:
        raise BadArgument(
            f"{region.name} has {region.size} bytes, which cannot be read {width} at a time",
            hint="Give a width of 1, 2, 4 or 8 bytes",
        )
    content = bytearray()
    holes: list[Hole] = []
    for offset in range(0, region.size, _CHUNK):
        size = min(_CHUNK, region.size - offset)
        try:
            content += region.read_block(offset, size, width=width)
        except AccessError:  # some of it may be readable
            content += b"".join(_one_by_one(region, offset, size, width, holes))
        if on_progress is not None:
            on_progress(size)
    if sum(hole.size for hole in holes) == region.size:
        region.read(0, width)  # raises why
    return DumpedRegion(index, device.regions[index].name, width, bytes(content), tuple(holes))


def write_dump(
    device: Device,
    directory: Path,
    *,
    bars: Mapping[int, int] | None = None,
    registers: RegisterFile | None = None,
    force: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Write ``dump.json`` and a file of bytes for each region into a new directory.

    Configuration space and the ROM (if there is one) are always there; ``bars`` gives the
    width in bytes for each BAR that shall be.  Returns the files.  Everything is read before
    the directory is made.  Raises BadArgument where it exists, and what
    :func:`dump_region` raises.
    """
    if directory.exists():
        raise BadArgument(f"{directory} exists", hint="Name a directory that does not")
    regions = [dump_region(device, CONFIG_REGION, _CONFIG_WIDTH)]
    for index, width in (bars or {}).items():
        regions.append(
            dump_region(
                device, index, width, registers=registers, force=force, on_progress=on_progress
            )
        )
    about = _about(device)
    rom = _rom(device, about)
    if rom is not None:
        regions.append(rom)
    about["regions"] = [
        {
            "index": one.index,
            "name": one.name,
            "file": _file(one),
            "width": one.width,
            "size": len(one.content),
            "holes": [hole.as_dict() for hole in one.holes],
        }
        for one in regions
    ]
    directory.mkdir(parents=True)
    written = []
    for one in regions:
        path = directory / _file(one)
        path.write_bytes(one.content)
        written.append(path)
    path = directory / "dump.json"
    path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return [path, *written]


def _one_by_one(
    region: Region, offset: int, size: int, width: int, holes: list[Hole]
) -> Iterator[bytes]:
    for at in range(offset, offset + size, width):
        try:
            yield region.read_block(at, width, width=width)
        except AccessError as error:
            if holes and holes[-1].offset + holes[-1].size == at:
                before = holes.pop()
                holes.append(Hole(before.offset, before.size + width, before.why))
            else:
                holes.append(Hole(at, width, str(error)))
            yield bytes(width)


def _about(device: Device) -> dict[str, object]:
    from pymmio import __version__

    return {
        "format": FORMAT,
        "pymmio": __version__,
        "uri": str(device.uri),
        "config": device.config.as_dict(),
        **device.config.survey_capabilities().as_dict(),
        **device.reset_methods().as_dict(),
    }


def _rom(device: Device, about: dict[str, object]) -> DumpedRegion | None:
    """Read the images of the ROM; without any that make sense say why."""
    try:
        rom = device.rom()
    except Unsupported:
        return None
    except ProtocolError as error:
        about["rom"] = {"error": str(error)}
        return None
    about["rom"] = rom.as_dict()
    return DumpedRegion(_ROM, "ROM", _CONFIG_WIDTH, rom.dump())


def _file(region: DumpedRegion) -> str:
    return f"{region.name.lower()}.bin"


def _side_effects(registers: RegisterFile, place: Place) -> bool:
    item = getattr(registers, place.name)
    bound: BoundRegister[Register] = item[0] if place.is_array else item
    return bound.has_read_side_effects
