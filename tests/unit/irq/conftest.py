from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from pymmio.handle import IrqKind
from pymmio.irq import Interrupts
from pymmio.testing.fakes import FakeIrq

DEADLINE_S = 60.0
"""For waits that end at once unless something is broken."""

ALL_KINDS = {
    IrqKind.INTX: 1,
    IrqKind.MSI: 4,
    IrqKind.MSIX: 8,
    IrqKind.ERR: 1,
    IrqKind.REQ: 1,
}


@pytest.fixture
def handle() -> FakeIrq:
    return FakeIrq(ALL_KINDS)


@pytest.fixture
def irqs(handle: FakeIrq) -> Iterator[Interrupts]:
    with Interrupts(handle, name="fake") as irqs:
        yield irqs
    assert handle.enabled == {}


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """Count the descriptors of this process."""
    return lambda: len(os.listdir("/proc/self/fd"))


class Waiter(threading.Thread):
    """Runs a function in a thread and keeps what it returned or raised."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self.outcome: object = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._function()
        except Exception as error:
            self.outcome = error

    def result(self) -> object:
        self.join(DEADLINE_S)
        assert not self.is_alive(), "the wait did not end"
        return self.outcome
