"""What sysfs does not offer: DMA memory and interrupts.  Says so, with the next step."""

from __future__ import annotations

import mmap
from collections.abc import Sequence

from pymmio.errors import DmaError, PymmioError, Unsupported
from pymmio.handle import Iova, IovaRange, IrqKind

__all__ = ["NoDma", "NoInterrupts"]


class NoDma:
    """A DmaHandle that gives the device no memory (and a RefusesDma: it says why)."""

    page_size = mmap.PAGESIZE
    max_mappings = 0
    pins_memory = False
    iova_ranges: Sequence[IovaRange] = ()

    def __init__(self, name: str) -> None:
        self._name = name

    def why_no_dma(self) -> PymmioError:
        """Return what asking for memory raises."""
        return Unsupported(
            f"{self._name} was opened through sysfs, which gives a device no DMA memory: nothing "
            "would keep it from the memory of others",
            hint="Bind it to vfio-pci (`pymmio bind`) and open it as "
            f"vfio:{self._name.partition(':')[2]}",
        )

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Raise Unsupported."""
        raise self.why_no_dma()

    def unmap(self, iova: Iova, size: int) -> None:
        """Raise DmaError: nothing was ever mapped."""
        raise DmaError(f"{self._name}: nothing is mapped at {iova:#x}: there is no DMA by sysfs")


class NoInterrupts:
    """An IrqHandle without any vector."""

    def __init__(self, name: str) -> None:
        self._name = name

    def count(self, kind: IrqKind) -> int:
        """Return 0: by sysfs no interrupt reaches a program."""
        return 0

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Raise Unsupported."""
        raise self._refused(kind)

    def disable(self, kind: IrqKind) -> None:
        """Do nothing: none was enabled."""
        return

    def unmask_intx(self) -> None:
        """Raise Unsupported."""
        raise self._refused(IrqKind.INTX)

    def _refused(self, kind: IrqKind) -> Unsupported:
        return Unsupported(
            f"{self._name} was opened through sysfs, which delivers no {kind} interrupts",
            hint="Poll the device's registers (region.wait32), or open it with vfio:",
        )
