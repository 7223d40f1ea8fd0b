"""Devices that leave, or are closed, under the driver: everything ends, soon and typed."""

from __future__ import annotations

import threading

import pytest

from pymmio.errors import Closed, DeviceGone, PymmioError
from pymmio_drivers.nvme import (
    CommandTimeout,
    Controller,
    ControllerClosed,
    ControllerGone,
    State,
    command,
)
from pymmio_drivers.nvme.buffers import check_buffer
from pymmio_drivers.nvme.request import Command

SOON_S = 10.0
"""Much less than the time-out of the commands here, which is a minute."""


@pytest.fixture(params=["msix", None], ids=["interrupts", "polling"])
def patient(request):
    """A controller whose own time-outs are of no help, and whose commands never end."""
    with Controller.open("sim:nvme?size=16M", interrupts=request.param, timeout_s=60) as found:
        found.namespaces[1].read_bytes(lba=0, blocks=1)
        found.device.handle.model.hooks.hold(lambda qid, command: qid == 1)
        yield found


class Waiting:
    """A thread that makes one call, and what it raised."""

    def __init__(self, call):
        self.error = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call):
        try:
            call()
        except BaseException as error:
            self.error = error

    def join(self):
        """What was raised, at the deadline None."""
        self._thread.join(SOON_S)
        assert not self._thread.is_alive(), "it still waits"
        return self.error


def slot_of(ctrl):
    return ctrl.device.handle.slot


def tells(kind, error):
    """Whether an exception is of a kind, or says that such a one is its cause."""
    return isinstance(error, kind) or isinstance(error.__cause__, kind)


def later_errors(ctrl):
    """What calls raise afterwards."""
    ns = ctrl.namespaces[1]
    errors = []
    for call in (
        lambda: ns.read_bytes(lba=0, blocks=1),
        lambda: ns.write_bytes(bytes(512), lba=0),
        ns.flush,
        ns.flush_async,
        ctrl.refresh,
        ctrl.admin.smart_log,
        ctrl.poll,
        lambda: ns.deallocate([(0, 1)]),
        lambda: ns.measure(count=1),
    ):
        with pytest.raises(PymmioError) as caught:
            call()
        errors.append(caught.value)
    return errors


# --- gone -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", ["ones", "zeros", "fault"])
def test_requests_of_a_device_that_was_pulled_out_end_in_device_gone(patient, reads):
    ns = patient.namespaces[1]
    buffer = patient.alloc(4096)
    blocking = Waiting(lambda: ns.read_bytes(lba=0, blocks=1))
    request = ns.read_async(buffer, lba=0)
    slot_of(patient).unplug(reads, request=False)
    error = request.exception(SOON_S)
    assert isinstance(error, ControllerGone)
    assert isinstance(error, DeviceGone)
    assert isinstance(error.__cause__, DeviceGone)
    assert error.__cause__.message in error.message
    assert isinstance(blocking.join(), DeviceGone)
    assert patient.state is State.FAILED
    assert all(tells(DeviceGone, later) for later in later_errors(patient))
    with pytest.raises(DeviceGone):
        ns.read(buffer, lba=0)
    buffer.close()  # given back: nobody can write to it any more


@pytest.mark.parametrize("callback", [True, False], ids=["close", "none"])
def test_requests_of_a_device_that_is_released_because_it_left_end_in_device_gone(
    patient, callback
):
    ns = patient.namespaces[1]
    release = patient.device.release_on_request(5.0, patient.close if callback else None)
    buffer = patient.alloc(4096)
    request = ns.read_async(buffer, lba=0)
    blocking = Waiting(lambda: ns.read_bytes(lba=0, blocks=1))
    slot_of(patient).unplug("zeros")
    assert isinstance(request.exception(SOON_S), DeviceGone)
    assert tells(DeviceGone, blocking.join())
    release.wait(SOON_S)
    assert all(tells(DeviceGone, later) for later in later_errors(patient))
    for call in (lambda: ns.read(buffer, lba=0), lambda: patient.alloc(4096)):
        with pytest.raises(PymmioError) as caught:
            call()
        assert tells(DeviceGone, caught.value)


def test_calls_notice_that_an_idle_device_was_pulled_out(patient):
    slot_of(patient).unplug("zeros", request=False)
    assert all(tells(DeviceGone, later) for later in later_errors(patient)[:3])


def test_late_command_of_a_device_that_left_is_no_mere_time_out(patient):
    request = patient.io_request("flush", ())
    request.timeout_s = 0.0
    slot_of(patient).unplug("zeros", request=False)
    patient.send(request, [Command(request, command.flush(1))])
    assert not isinstance(request.exception(SOON_S), CommandTimeout)
    assert isinstance(request.exception(), DeviceGone)


def test_controller_of_a_device_that_left_closes_quietly(patient):
    slot_of(patient).unplug("ones", request=False)
    patient.close()
    with pytest.raises(ControllerClosed) as caught:
        patient.namespaces[1].flush()
    assert isinstance(caught.value.__cause__, DeviceGone)


# --- there, and closed ---------------------------------------------------------------------


def test_requests_of_a_device_that_was_released_end_at_once(patient):
    ns = patient.namespaces[1]
    release = patient.device.release_on_request(5.0)
    buffer = patient.alloc(4096)
    request = ns.read_async(buffer, lba=0)
    blocking = Waiting(lambda: ns.read_bytes(lba=0, blocks=1))
    slot_of(patient).request()
    error = request.exception(SOON_S)
    assert isinstance(error, ControllerClosed)
    assert isinstance(error.__cause__, Closed)
    assert isinstance(blocking.join(), ControllerClosed)
    release.wait(SOON_S)
    assert all(isinstance(later, Closed) for later in later_errors(patient))
    with pytest.raises(Closed):
        ns.read(buffer, lba=0)
    patient.close()
    assert patient.state is State.CLOSED


def test_request_that_nobody_waits_for_ends_when_its_device_is_closed():
    with Controller.open("sim:nvme?size=16M", timeout_s=60) as ctrl:
        ctrl.device.handle.model.hooks.hold(lambda qid, command: qid == 1)
        done = threading.Event()
        ctrl.namespaces[1].flush_async().add_done_callback(lambda _: done.set())
        ctrl.device.close()
        assert done.wait(SOON_S)


@pytest.mark.parametrize("interrupts", ["msix", None], ids=["interrupts", "polling"])
@pytest.mark.parametrize("how", ["gone", "closed"])
def test_reads_under_way_raise_typed_errors_only(interrupts, how):
    def work(ns):
        while True:
            ns.read_bytes(lba=0, blocks=16)
            ns.write_bytes(bytes(512), lba=0)
            ns.controller.admin.identify_namespace(1)

    for _ in range(5):
        with Controller.open("sim:nvme?size=16M", interrupts=interrupts) as ctrl:
            ns = ctrl.namespaces[1]
            ctrl.device.release_on_request(5.0)
            working = [Waiting(lambda ns=ns: work(ns)) for _ in range(2)]
            ns.read_bytes(lba=0, blocks=1)
            if how == "gone":
                slot_of(ctrl).unplug("ones")
            else:
                slot_of(ctrl).request()
            errors = [one.join() for one in working]
        kind = DeviceGone if how == "gone" else Closed
        assert all(isinstance(error, PymmioError) for error in errors), errors
        assert all(tells(kind, error) for error in errors), errors


# --- what is told while others already notice ------------------------------------------------


def test_a_buffer_that_is_closed_while_it_is_looked_at_is_no_foreign_memory(ctrl):
    ns, buffer = ctrl.namespaces[1], ctrl.alloc(4096)

    class ClosesWhenAsked:
        def owns(self, one):
            ctrl.device.close()
            return ctrl.device.dma.owns(one)

    with pytest.raises(Closed):
        check_buffer(ClosesWhenAsked(), "read", ns, buffer, 4096)


def test_why_memory_is_closed_is_told_when_the_reset_under_way_is_over(ctrl):
    recovery = ctrl._recovery
    begun, closed = threading.Event(), Closed("the buffer is closed")
    with recovery._lock:
        recovery.state = State.RECOVERING

        def ask():
            begun.set()
            raise recovery.explained(closed)

        asking = Waiting(ask)
        assert begun.wait(SOON_S)
        asking._thread.join(0.05)  # it waits: who resets may find out more
        assert asking.error is None
        recovery.cause, recovery.state = DeviceGone("it left"), State.FAILED
    assert isinstance(asking.join(), ControllerGone)
