"""A device model as a vfio-user server has it: its regions, and memory of whoever is there."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from pymmio.backend.model import DeviceModel
from pymmio.backend.model_config import SIZE as CONFIG_SIZE
from pymmio.backend.served import DeviceMemory, GuardedMemory, ServedDevice
from pymmio.backend.vfio_user.server.refusal import Refusal
from pymmio.errors import AccessFault, IommuFault
from pymmio.handle import CONFIG_REGION

__all__ = ["REGIONS", "VfioUserDevice"]

REGIONS = 9
"""Numbers of regions of a PCI device: six BARs, ROM, configuration space, VGA."""
CONVENTIONAL_CONFIG_SIZE = 256


class VfioUserDevice(ServedDevice):
    """The model; ``client_memory`` is that of the client that is there, if one is.

    All methods want ``lock`` held.
    """

    def __init__(self, model: DeviceModel, name: str) -> None:
        super().__init__(model, name, wary=True)
        self.client_memory: DeviceMemory | None = None
        self._guarded: dict[int, GuardedMemory] = {}
        self.config_size = CONFIG_SIZE if model.is_pcie else CONVENTIONAL_CONFIG_SIZE
        try:
            for index, memory in self.memory.items():
                what = f"{name} BAR{index}"
                self._guarded[index] = GuardedMemory(memory.fd, memory.size, what)
            model.attach(self)
        except BaseException:
            self.free()
            raise

    def free(self) -> None:
        """Free the memory of the BARs and close the model; once."""
        while self._guarded:
            self._guarded.popitem()[1].close()
        super().free()

    @property
    def device_memory(self) -> DeviceMemory:
        """The client's memory.  Raises IommuFault while nobody is there."""
        if self.client_memory is None:
            raise IommuFault(f"{self.name}: the device accessed memory, and there is no client")
        return self.client_memory

    def region_size(self, index: int) -> int:
        """Return the size of a region, 0 for one that is not there.  Raises Refusal."""
        if index >= REGIONS:
            raise Refusal(errno.EINVAL, f"region {index} of {REGIONS}")
        if index == CONFIG_REGION:
            return self.config_size
        return self.bars[index].size if index in self.bars else 0

    def check_bounds(self, index: int, offset: int, size: int) -> None:
        """Raise Refusal outside of a region."""
        limit = self.region_size(index)
        if offset + size > limit:
            raise Refusal(
                errno.EINVAL, f"{size:#x} bytes at {offset:#x} of region {index} of {limit:#x}"
            )

    def check_write(self, index: int, offset: int, size: int) -> None:
        """Raise Refusal outside of a region, AccessFault while BARs do not answer."""
        self.check_bounds(index, offset, size)
        if index != CONFIG_REGION:
            self.require_decoding(index, offset, size, is_write=True)

    def read_region(self, index: int, offset: int, size: int) -> bytes:
        """Read bytes of a region: configuration space, memory, or access by access."""
        if index == CONFIG_REGION:
            return self.config.read(offset, size).to_bytes(size, "little")
        if index in self.memory:
            self.require_decoding(index, offset, size, is_write=False)
            data = self._guarded[index].read(offset, size)
            if data is None:
                raise self._cut_off(index, offset, size, is_write=False)
            return data
        pieces = (
            self.bar_read(index, at, width).to_bytes(width, "little")
            for at, width in accesses(offset, size)
        )
        return b"".join(pieces)

    def write_region(self, index: int, offset: int, data: bytes) -> None:
        """Write bytes of a region, likewise."""
        if index == CONFIG_REGION:
            self._write_config(offset, len(data), int.from_bytes(data, "little"))
        elif index in self.memory:
            self.require_decoding(index, offset, len(data), is_write=True)
            if not self._guarded[index].write(offset, data):
                raise self._cut_off(index, offset, len(data), is_write=True)
        else:
            for at, width in accesses(offset, len(data)):
                piece = data[at - offset : at - offset + width]
                self.bar_write(index, at, width, int.from_bytes(piece, "little"))

    def _cut_off(self, index: int, offset: int, size: int, *, is_write: bool) -> AccessFault:
        """Return what is raised where memory that the model shares was cut off by others."""
        region = f"BAR{index}"
        return AccessFault(
            f"{self.name} {region}: there is no memory any more at {offset:#x}",
            region=region,
            offset=offset,
            width=size,
            is_write=is_write,
        )

    def _write_config(self, offset: int, width: int, value: int) -> None:
        self.config.write(offset, width, value)
        self.irq.refresh_intx()
        if self.config.asks_for_reset(offset, width, value):
            self.reset_function()


def accesses(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut bytes into accesses: one if they are as many as an access has, else aligned ones."""
    if size in (1, 2, 4, 8):
        yield offset, size
        return
    end = offset + size
    while offset < end:
        width = next(w for w in (8, 4, 2, 1) if offset % w == 0 and offset + w <= end)
        yield offset, width
        offset += width
