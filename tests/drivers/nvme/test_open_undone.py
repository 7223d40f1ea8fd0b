"""An error at any step of open() leaves nothing behind: memory, interrupts, threads, device."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from pymmio import open_device
from pymmio.errors import AccessFault, DmaError, PymmioError, Unsupported
from pymmio_drivers.nvme import Controller

URI = "sim:nvme?size=1M"


class Breaker:
    """Counts calls of what the driver needs of the outside world, and fails one of them."""

    def __init__(self, fail_at=None):
        self.fail_at = fail_at
        self.calls = 0
        self.failed = False

    def wrap(self, owner, name, error):
        before = getattr(owner, name)

        def call(*arguments, **named):
            self.calls += 1
            if self.calls - 1 == self.fail_at:
                self.failed = True
                raise error
            return before(*arguments, **named)

        setattr(owner, name, call)
        return lambda: setattr(owner, name, before)

    def install(self, device):
        handle = device.handle
        undo = [
            self.wrap(handle.model, "bar_read", AccessFault("injected", region="BAR0")),
            self.wrap(handle.model, "bar_write", AccessFault("injected", region="BAR0")),
            self.wrap(handle.dma, "map", DmaError("injected")),
            self.wrap(handle.irq, "enable", Unsupported("injected")),
            self.wrap(handle.irq, "disable", Unsupported("injected")),
            self.wrap(device, "enable_bus_master", AccessFault("injected", region="config")),
        ]

        def remove():
            for step in undo:
                step()

        return remove


def steps():
    """How many calls a whole life makes, and how many of them open() makes."""
    with open_device(URI) as device:
        counter = Breaker()
        remove = counter.install(device)
        ctrl = Controller.open(device, queues=2)
        opened = counter.calls
        ctrl.close()
        remove()
        return opened


OPEN_STEPS = steps()


def check_nothing_left(device, threads):
    assert device.dma.mapped_bytes == 0
    assert not device.config.command & 4
    assert device.irqs.msix.enabled == 0
    assert device.region(0).read32(0x14) & 1 == 0
    assert threading.active_count() == threads


@pytest.mark.parametrize("step", range(OPEN_STEPS))
def test_error_at_a_step_of_open_undoes_all_before_it(step):
    threads = threading.active_count()
    with open_device(URI) as device:
        breaker = Breaker(step)
        remove = breaker.install(device)
        try:
            # A failure in what follows the last step that can fail is mended or ignored.
            with pytest.raises((PymmioError,)):
                Controller.open(device, queues=2, ready_timeout_s=0.2, admin_timeout_s=2.0)
        finally:
            remove()
        assert breaker.failed
        check_nothing_left(device, threads)
        with Controller.open(device) as ctrl:
            ctrl.namespaces[1].write_bytes(bytes(512), lba=0)


@pytest.mark.parametrize("mode", [None, "msix"])
def test_error_status_at_each_command_of_open(mode):
    opcodes = (0x06, 0x09, 0x05, 0x01)  # identify, set features, create CQ, create SQ
    for opcode in opcodes:
        threads = threading.active_count()
        with open_device(URI) as device:
            device.handle.model.hooks.fail(
                0x4006, lambda qid, command, opcode=opcode: command.opcode == opcode
            )
            with pytest.raises(PymmioError, match="Internal Error"):
                Controller.open(device, interrupts=mode)
            check_nothing_left(device, threads)


def test_owned_device_is_closed_when_open_fails():
    with pytest.raises(Unsupported):
        Controller.open(URI, queues=500)


def test_error_at_a_step_of_close_does_not_keep_the_rest_open():
    with open_device(URI) as device:
        counter = Breaker()
        remove = counter.install(device)
        ctrl = Controller.open(device)
        start = counter.calls
        ctrl.close()
        total = counter.calls
        remove()
    for step in range(start, total):
        threads = threading.active_count()
        with open_device(URI) as device:
            breaker = Breaker(step)
            remove = breaker.install(device)
            ctrl = Controller.open(device, ready_timeout_s=0.2, admin_timeout_s=2.0)
            with suppress(PymmioError):  # raised at the end, or mended by the next step
                ctrl.close()
            remove()
            assert breaker.failed
            assert ctrl.closed
            assert device.dma.mapped_bytes == 0
            assert not device.config.command & 4
            assert threading.active_count() == threads
