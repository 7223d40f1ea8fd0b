"""Accesses that are told to fail, before a real device: what a machine may say becomes the cause.

Workloads for a process with the emulator preloaded (instructions.py).
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pymmio.errors import AccessFault, MioError, PymmioError
from pymmio_drivers.nvme import Controller
from tests.bigendian.mio import Emulator
from tests.s390x.workload import WIDTHS, memory

CONDITIONS = ((1, 4), (1, 8), (1, 12), (1, 40), (2, 0), (3, 0))  # condition code, status
ERRNOS = (errno.ENXIO, errno.EINVAL, errno.EACCES, errno.EFAULT, errno.EIO)
PATTERN = 0x8192A3B4C5D6E7F8


@dataclass(frozen=True)
class Failure:
    """What the next access says: a condition code, with a status if by instruction, or an errno."""

    access: str
    cc: int = 0
    status: int | None = None
    number: int = 0

    def inject(self, emulator: Emulator) -> None:
        """Let the next access fail so."""
        if self.access == "mio":
            emulator.fail_next_instruction(self.cc, self.status or 0)
        else:
            emulator.fail_next_call(self.cc or -self.number)

    def is_cause(self, cause: BaseException | None) -> bool:
        """Whether that is what was said."""
        if self.cc:
            return isinstance(cause, MioError) and (cause.cc, cause.status) == (
                self.cc,
                self.status,
            )
        return isinstance(cause, OSError) and cause.errno == self.number


def failures(access: str) -> Iterator[Failure]:
    """Yield all that can be said in this way of access."""
    if access == "mio":
        yield from (Failure(access, cc, status) for cc, status in CONDITIONS)
    else:
        yield from (Failure(access, cc) for cc in (1, 2, 3))
        yield from (Failure(access, number=number) for number in ERRNOS)


def raised(call: Callable[[], object]) -> BaseException | None:
    """Return what ``call`` raised."""
    try:
        call()
    except PymmioError as error:
        return error
    return None


def fail_as_told(address: str, access: str) -> None:
    """Let accesses of each kind fail on the real device; the next one is good each time."""
    emulator = Emulator()
    with memory(address, access) as region:
        calls: dict[str, Callable[[], object]] = {
            "read_block": lambda: region.read_block(0, 64, width=8),
            "write_block": lambda: region.write_block(0, bytes(64), width=8),
            "write_combined": lambda: region.write_combined(0, bytes(256)),
            "wait": lambda: region.wait32(0, mask=1, value=1, timeout_s=5),
            "doorbell": lambda: region.doorbell(0).ring(1),
        }
        for width in WIDTHS:
            calls[f"read{8 * width}"] = lambda w=width: region.read(0, w)  # type: ignore[misc]
            calls[f"write{8 * width}"] = lambda w=width: region.write(0, w, 1)  # type: ignore[misc]
        for failure in failures(access):
            region.write64(0, PATTERN)
            for name, call in calls.items():
                failure.inject(emulator)
                error = raised(call)
                assert isinstance(error, AccessFault), (name, failure, error)
                assert error.offset == 0, (name, failure, error)
                assert failure.is_cause(error.__cause__), (name, failure, error.__cause__)
                assert region.read64(0) == PATTERN, (name, failure)  # nothing was written


def fail_a_doorbell(address: str, access: str) -> None:
    """Let a doorbell of the controller fail: the command ends with the cause, then all is well."""
    emulator = Emulator()
    data = random.Random(5).randbytes(4096)
    with Controller.open(f"vfio:{address}", access=access, interrupts=None) as ctrl:
        ns = ctrl.namespaces[1]
        for failure in failures(access):
            failure.inject(emulator)
            error = raised(lambda: ns.write_bytes(data, lba=64))
            chain = []
            while error is not None:
                chain.append(error)
                error = error.__cause__
            assert any(failure.is_cause(one) for one in chain), (failure, chain)
            ns.write_bytes(data, lba=64)
            assert ns.read_bytes(lba=64, blocks=4096 // ns.block_size) == data
