"""Time-outs, aborts, resets, controllers that do not come back, wrong completions."""

from __future__ import annotations

import signal
import struct
import threading

import pytest

from pymmio import open_device
from pymmio.errors import (
    AccessFault,
    BufferBusy,
    DeviceGone,
    DeviceTimeout,
    ProtocolError,
    Unsupported,
)
from pymmio_drivers.nvme import (
    CommandAborted,
    CommandTimeout,
    Controller,
    ControllerFailed,
    ControllerFatal,
    ControllerGone,
    State,
    StatusError,
)
from tests.drivers.nvme.conftest import model_of

ABORT = 0x08


def hooks_of(ctrl):
    return model_of(ctrl).hooks


def hold_io(ctrl):
    hooks_of(ctrl).hold(lambda qid, command: qid == 1)


def hold_io_and_aborts(ctrl):
    hooks_of(ctrl).hold(lambda qid, command: qid == 1 or command.opcode == ABORT)


def settled(ctrl):
    """The state after a reset under way, if there is one."""
    with ctrl._recovery._lock:
        return ctrl.state


def chain(error):
    """An exception and what caused it."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found


def works(ctrl):
    ns = ctrl.namespaces[1]
    ns.write_bytes(b"alive".ljust(512), lba=0)
    return ns.read_bytes(lba=0, blocks=1)[:5] == b"alive"


# --- time-out and abort --------------------------------------------------------------------


def test_command_that_is_late_is_aborted_and_the_controller_goes_on(sim):
    ns = sim.namespaces[1]
    hold_io(sim)
    with pytest.raises(CommandTimeout, match="no completion within") as caught:
        ns.read_bytes(lba=0, blocks=1)
    assert isinstance(caught.value.__cause__, CommandAborted)
    assert caught.value.__cause__.status & 0x7FF == 0x007
    assert isinstance(caught.value, TimeoutError)
    hooks_of(sim).release()
    assert settled(sim)
    assert sim.resets == 0
    assert works(sim)


def test_split_transfer_is_aborted_whole(sim):
    ns = sim.namespaces[1]
    hold_io(sim)
    with sim.alloc(4 * sim.max_transfer) as buffer:
        with pytest.raises(CommandTimeout):
            ns.write(buffer, lba=0)
    hooks_of(sim).release()
    assert works(sim)


def test_only_the_late_command_is_aborted(sim):
    ns = sim.namespaces[1]
    hooks_of(sim).hold(lambda qid, command: qid == 1 and command.opcode == 2)
    with sim.alloc(4096) as buffer:
        late = ns.read_async(buffer, lba=0)
        for _ in range(5):
            ns.flush()
        assert isinstance(late.exception(20), CommandTimeout)
        ns.flush()
    assert settled(sim)
    assert sim.resets == 0


def test_request_can_be_aborted_by_hand(sim):
    ns = sim.namespaces[1]
    hold_io(sim)
    with sim.alloc(4096) as buffer:
        request = ns.read_async(buffer, lba=0)
        assert sim.abort(request)
        assert isinstance(request.exception(20), CommandAborted)
    assert not sim.abort(request)
    hooks_of(sim).release()


# --- reset ------------------------------------------------------------------------------


def test_abort_that_does_not_help_is_followed_by_a_reset(sim):
    ns = sim.namespaces[1]
    hold_io_and_aborts(sim)
    with sim.alloc(8192) as buffer:
        first = ns.read_async(buffer[:4096], lba=0)
        other = ns.write_async(buffer[4096:], lba=64)
        assert isinstance(first.exception(20), (CommandTimeout, CommandAborted))
        assert isinstance(other.exception(20), (CommandTimeout, CommandAborted))
        kinds = {type(first.exception()), type(other.exception())}
        assert CommandTimeout in kinds
    hooks_of(sim).release()
    assert settled(sim)
    assert sim.resets == 1
    assert settled(sim) is State.READY
    assert works(sim)


def test_nothing_is_written_to_memory_that_was_given_back(sim):
    ns = sim.namespaces[1]
    ns.write_bytes(b"\xee" * 4096, lba=0)
    hold_io_and_aborts(sim)
    buffer = sim.alloc(4096)
    request = ns.read_async(buffer, lba=0)
    assert isinstance(request.exception(20), CommandTimeout)
    hooks_of(sim).release()
    sim.poll()
    assert bytes(buffer) == bytes(4096)
    buffer.close()


def test_admin_command_that_is_late_resets_the_controller(sim):
    hooks_of(sim).hold(lambda qid, command: qid == 0 and command.opcode == 0x0A)
    with pytest.raises(CommandTimeout):
        sim.admin.get_features(1)
    hooks_of(sim).release()
    assert settled(sim)
    assert sim.resets == 1
    assert works(sim)


def test_outstanding_commands_of_a_reset_that_was_asked_for_raise(sim):
    ns = sim.namespaces[1]
    hold_io(sim)
    with sim.alloc(4096) as buffer:
        request = ns.read_async(buffer, lba=0)
        sim.reset()
        error = request.exception(20)
        assert isinstance(error, CommandAborted)
        assert "asked for" in str(error.__cause__)
    hooks_of(sim).release()
    assert works(sim)


def test_reset_in_the_middle_of_much_io_fails_or_completes_each_request(sim):
    ns = sim.namespaces[1]
    errors, stop = [], threading.Event()

    def writes(index):
        data = bytes([index]) * 512
        while not stop.is_set():
            try:
                ns.write_bytes(data, lba=index)
            except CommandAborted:
                pass
            except BaseException as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=writes, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        sim.reset()
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not errors
    assert settled(sim)
    assert sim.resets == 5
    assert works(sim)


def test_event_requests_survive_a_reset():
    with Controller.open("sim:nvme?size=16M", on_event=lambda event: None) as ctrl:
        for _ in range(3):
            ctrl.reset()
        assert settled(ctrl) is State.READY
        assert not model_of(ctrl).notes


# --- controllers in trouble ---------------------------------------------------------------


def test_fatal_status_is_found_and_reset(sim):
    hooks_of(sim).break_controller()
    with pytest.raises((CommandTimeout, CommandAborted)) as caught:
        sim.namespaces[1].flush()
    assert any(isinstance(error, ControllerFatal) for error in chain(caught.value))
    assert settled(sim)
    assert sim.resets == 1
    assert works(sim)


def test_fatal_status_while_starting_is_not_waited_out():
    with open_device("sim:nvme?size=16M&ready_reads=3") as device:
        model = device.handle.model
        before = model.bar_write

        def breaks(bar, offset, width, value):
            before(bar, offset, width, value)
            if offset == 0x14 and value & 1:
                model.hooks.break_controller()

        model.bar_write = breaks
        with pytest.raises(ControllerFatal, match="CFS"):
            Controller.open(device)


def test_controller_that_is_gone_fails_for_good_and_closes(sim):
    ns = sim.namespaces[1]
    buffer = sim.alloc(4096)
    hooks_of(sim).gone = True
    with pytest.raises(ControllerGone) as caught:
        ns.read(buffer, lba=0)
    assert isinstance(caught.value.__cause__, DeviceGone)
    assert settled(sim) is State.FAILED
    with pytest.raises(ControllerGone, match="all ones"):
        ns.flush()
    buffer.close()
    sim.close()
    assert settled(sim) is State.CLOSED


def test_controller_that_is_gone_at_open():
    with open_device("sim:nvme?size=16M") as device:
        device.handle.model.hooks.gone = True
        with pytest.raises(DeviceGone):
            Controller.open(device)
        assert device.dma.mapped_bytes == 0


def test_controller_stuck_in_ready_is_reset_as_a_device(sim):
    ns = sim.namespaces[1]
    hold_io_and_aborts(sim)
    hooks_of(sim).stuck = True
    resets, before = [], sim.device.handle.reset

    def resets_once():
        resets.append(bool(sim.device.config.command & 4))
        hooks_of(sim).stuck = False
        before()

    sim.device.handle.reset = resets_once
    with pytest.raises(CommandTimeout):
        ns.read_bytes(lba=0, blocks=1)
    assert resets == [False]  # bus mastering was off before the reset
    hooks_of(sim).release()
    assert settled(sim) is State.READY
    assert sim.device.config.command & 4
    assert works(sim)


def test_controller_that_does_not_start_again_is_failed(sim):
    ns = sim.namespaces[1]
    buffer = sim.alloc(4096)
    hold_io_and_aborts(sim)
    hooks_of(sim).stuck = True  # a reset of the function works, but it is never ready again
    with pytest.raises(CommandTimeout):
        ns.read(buffer, lba=0)
    assert settled(sim) is State.FAILED
    for use in (ns.flush, sim.admin.smart_log, lambda: ns.read(buffer, lba=0)):
        with pytest.raises(ControllerFailed, match="has failed"):
            use()
    buffer.close()  # the device was reset: its memory is given back
    hooks_of(sim).stuck = False
    hooks_of(sim).release()
    sim.reset()
    assert works(sim)


def test_controller_that_can_only_be_isolated_keeps_off_memory(sim):
    ns = sim.namespaces[1]
    buffer = sim.alloc(4096)
    hold_io_and_aborts(sim)
    hooks_of(sim).stuck = True

    def no_reset():
        raise Unsupported("no way to reset it")

    sim.device.handle.reset = no_reset
    with pytest.raises(CommandTimeout) as caught:
        ns.read(buffer, lba=0)
    assert settled(sim) is State.FAILED
    assert not sim.device.config.command & 4
    notes = [note for error in chain(caught.value) for note in getattr(error, "__notes__", [])]
    assert any("no way to reset it" in note for note in notes)
    buffer.close()
    sim.close()


def test_memory_stays_held_where_the_controller_cannot_be_stopped_at_all(sim):
    ns = sim.namespaces[1]
    buffer = sim.alloc(4096)
    hold_io_and_aborts(sim)
    hooks_of(sim).stuck = True

    def refuses():
        raise AccessFault("the configuration space does not answer")

    sim.device.disable_bus_master = refuses
    with pytest.raises(CommandTimeout):
        ns.read(buffer, lba=0)
    assert settled(sim) is State.FAILED
    with pytest.raises(BufferBusy):
        buffer.close()
    sim.close()
    assert sim.device.closed  # which takes the memory away from the device
    assert buffer.closed


def test_failed_controller_closes_and_gives_everything_back():
    with open_device("sim:nvme?size=16M") as device:
        ctrl = Controller.open(device, timeout_s=0.1, abort_grace_s=0.1, ready_timeout_s=0.1)
        hold_io_and_aborts(ctrl)
        hooks_of(ctrl).stuck = True
        with pytest.raises(CommandTimeout):
            ctrl.namespaces[1].flush()
        assert settled(ctrl) is State.FAILED
        ctrl.close()
        assert device.dma.mapped_bytes == 0
        assert not device.config.command & 4


# --- wrong completions -------------------------------------------------------------------


def post(ctrl, queue, *, sqhd=0, sqid=None, cid=0, status=0):
    """Write a completion to the head of a queue, as a controller gone mad would."""
    phase = queue.engine.expected_phase()
    sqid = queue.qid if sqid is None else sqid
    entry = struct.pack("<IIHHHH", 0, 0, sqhd, sqid, cid, status << 1 | phase)
    at = queue.engine.cq_head() * 16
    with memoryview(queue.memory.cq) as view:
        view[at : at + 16] = entry
    if ctrl.interrupts != "polling":
        ctrl.device.irqs.msix[queue.qid]._event.signal()


@pytest.mark.parametrize(
    "wrong",
    [{"cid": 0xFFFF}, {"cid": 0x7}, {"sqid": 9}, {"sqhd": 0xFFF}, {"sqhd": 100}],
    ids=str,
)
def test_wrong_completion_resets_the_controller(sim, wrong):
    ns = sim.namespaces[1]
    hold_io(sim)
    with sim.alloc(4096) as buffer:
        request = ns.read_async(buffer, lba=0)
        post(sim, sim.io_queues[0], **wrong)
        error = request.exception(20)
        assert isinstance(error, CommandAborted)
        assert isinstance(error.__cause__, ProtocolError)
        assert bytes(buffer) == bytes(4096)
    hooks_of(sim).release()
    assert settled(sim)
    assert sim.resets == 1
    assert works(sim)


def test_completion_that_comes_twice_resets_the_controller(sim):
    ns = sim.namespaces[1]
    ns.flush()
    queue = sim.io_queues[0]
    head = queue.engine.cq_head()
    with memoryview(queue.memory.cq) as view:
        last = bytes(view[16 * (head - 1) : 16 * head])
    sqhd, _sqid, cid, _status = struct.unpack("<HHHH", last[8:])
    hold_io(sim)
    request = ns.flush_async()
    post(sim, queue, cid=cid, sqhd=sqhd)
    assert isinstance(request.exception(20), CommandAborted)
    hooks_of(sim).release()
    assert works(sim)


def test_wrong_completion_during_a_measured_run_ends_it(sim):
    ns = sim.namespaces[1]
    hold_io(sim)
    posted = []

    def posts(share):
        if not posted:
            posted.append(True)
            post(sim, sim.io_queues[0], cid=0xFFFF)

    with pytest.raises(CommandAborted) as caught:
        ns.measure(seconds=20, progress=posts)
    assert isinstance(caught.value.__cause__, ProtocolError)
    hooks_of(sim).release()
    assert works(sim)


def test_measured_run_that_stalls_resets_the_controller(sim):
    hold_io(sim)
    with pytest.raises((CommandAborted, CommandTimeout)):
        sim.namespaces[1].measure(seconds=20)
    hooks_of(sim).release()
    assert settled(sim)
    assert sim.resets == 1
    assert works(sim)


def test_doorbell_that_cannot_be_written_resets_the_device(sim):
    ns = sim.namespaces[1]
    sim.device.config.update_command(off=2)  # memory decoding off: accesses fail
    with pytest.raises(CommandAborted) as caught:
        ns.flush()
    assert isinstance(caught.value.__cause__, AccessFault)
    assert works(sim)


def test_device_whose_accesses_fail_for_good_is_failed(sim):
    ns = sim.namespaces[1]

    def fails():
        raise Unsupported("no way to reset it")

    sim.device.handle.reset = fails
    sim.device.config.update_command(off=2)
    with pytest.raises(CommandAborted):
        ns.flush()
    assert settled(sim) is State.FAILED
    with pytest.raises(ControllerFailed):
        ns.flush()
    sim.close()


# --- status ---------------------------------------------------------------------------------


def test_status_of_the_device_becomes_an_exception(sim):
    hooks_of(sim).fail(0x4280, lambda qid, command: qid == 1)
    with pytest.raises(StatusError, match="Write Fault") as caught:
        sim.namespaces[1].write_bytes(bytes(512), lba=0)
    assert caught.value.do_not_retry
    assert works(sim)


def test_first_error_of_a_split_transfer_is_raised_and_the_rest_not_sent(sim):
    ns = sim.namespaces[1]
    hooks_of(sim).fail(0x281, lambda qid, command: qid == 1)
    with sim.alloc(6 * sim.max_transfer) as buffer:
        with pytest.raises(StatusError, match="Unrecovered Read Error"):
            ns.read(buffer, lba=0)
    assert works(sim)


def test_lost_interrupt_is_noticed_at_the_time_out():
    with Controller.open("sim:nvme?size=16M", timeout_s=0.1) as ctrl:
        host = ctrl.device.handle
        host.irq.raise_irq = lambda kind, vector: None
        ctrl.namespaces[1].flush()
        assert ctrl.resets == 0


def test_time_to_become_ready_is_obeyed():
    with pytest.raises(DeviceTimeout, match="ready"):
        Controller.open("sim:nvme?size=16M&ready_reads=1000000", ready_timeout_s=0.05)


@pytest.mark.parametrize("interrupts", ["msix", None])
def test_signal_ends_a_wait_and_the_memory_stays_the_device_s(interrupts):
    class Interrupted(Exception):
        pass

    def handler(number, frame):
        raise Interrupted

    with open_device("sim:nvme?size=16M") as device:
        with Controller.open(device, interrupts=interrupts) as ctrl:
            before = device.dma.mapped_bytes
            hold_io(ctrl)
            former = signal.signal(signal.SIGALRM, handler)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                with pytest.raises(Interrupted):
                    ctrl.namespaces[1].read_bytes(lba=0, blocks=1)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, former)
            (given_up,) = ctrl.scratch._busy
            with pytest.raises(BufferBusy):
                given_up.close()
            hooks_of(ctrl).release()
            while ctrl.io_queues[0].outstanding:
                ctrl.poll()
            assert works(ctrl)  # the next command that needs memory frees it
            assert given_up.closed
            assert device.dma.mapped_bytes == before
        assert device.dma.mapped_bytes == 0
