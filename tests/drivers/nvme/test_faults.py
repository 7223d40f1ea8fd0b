"""The NVMe driver on controllers in which things go wrong.

Faults of registers, interrupts and mappings are injected on any backend; those of completions
and data where the controller is a model.
"""

from __future__ import annotations

import threading

import pytest

from pymmio.errors import (
    AccessFault,
    BufferBusy,
    DeviceGone,
    DeviceTimeout,
    DmaError,
    ProtocolError,
    PymmioError,
)
from pymmio.testing import faults
from pymmio.testing.faults import Fault, nvme
from pymmio_drivers.nvme import (
    CommandAborted,
    CommandTimeout,
    Controller,
    ControllerFailed,
    ControllerGone,
    State,
    StatusError,
)

CC, CSTS = 0x14, 0x1C  # NVMe Base 2.0 §3.1.3
SQ1_DOORBELL, CQ1_DOORBELL = 0x1008, 0x100C  # NVMe over PCIe 1.0 §3.1.2, CAP.DSTRD of 0
SOON_S = 20.0
QUICK = {"timeout_s": 0.2, "admin_timeout_s": 0.5, "abort_grace_s": 0.2, "ready_timeout_s": 2.0}


@pytest.fixture(params=["msix", None], ids=["interrupts", "polling"])
def interrupts(request):
    return request.param


@pytest.fixture
def device(nvme_uri):
    """A device of any backend without faults yet."""
    with faults.open_device(nvme_uri) as device:
        yield device
    assert not [t for t in threading.enumerate() if t.name.startswith("pymmio faults")]


@pytest.fixture
def ctrl(device, interrupts):
    with Controller.open(device, interrupts=interrupts, **QUICK) as ctrl:
        yield ctrl


@pytest.fixture
def sim(interrupts):
    """A controller that is a model."""
    with faults.open_device("sim:nvme?size=16M") as device:
        with Controller.open(device, interrupts=interrupts, **QUICK) as ctrl:
            yield ctrl


def add(ctrl, *some):
    ctrl.device.handle.faults.add(*some)


def settled(ctrl):
    """The state after a reset under way, if there is one."""
    with ctrl._recovery._lock:
        return ctrl.state


def works(ctrl):
    """Whether it is ready, and reads what was written."""
    ctrl.device.handle.faults.clear()
    ns = ctrl.namespaces[1]
    ns.write_bytes(b"alive".ljust(ns.block_size), lba=0)
    alive = ns.read_bytes(lba=0, blocks=1)[:5] == b"alive"
    return alive and settled(ctrl) is State.READY


def chain(error):
    """An exception and what caused it."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found


def attempt(call):
    """Return the PymmioError that a call raises, None without one."""
    try:
        call()
    except PymmioError as error:
        return error
    return None


def until_it_fails(call, limit=500):
    """Call until it raises a PymmioError, which is returned."""
    for _ in range(limit):
        try:
            call()
        except PymmioError as error:
            return error
    raise AssertionError(f"nothing was raised in {limit} calls")


# --- opening ----------------------------------------------------------------------------------


def opens(device, interrupts):
    device.handle.faults.clear()
    with Controller.open(device, interrupts=interrupts, **QUICK) as ctrl:
        return works(ctrl)


@pytest.mark.parametrize("step", range(0, 45, 3))
def test_an_access_that_fails_while_opening_leaves_nothing_behind(device, interrupts, step):
    device.handle.faults.add(Fault.access_fault(after=step))
    error = attempt(lambda: Controller.open(device, interrupts=interrupts, **QUICK).close())
    assert error is None or any(isinstance(one, AccessFault) for one in chain(error)), error
    assert device.dma.mapped_bytes == 0
    assert not device.config.command & 4
    assert opens(device, interrupts)


@pytest.mark.parametrize("step", range(8))
def test_memory_that_cannot_be_had_while_opening_leaves_nothing_behind(device, interrupts, step):
    device.handle.faults.add(Fault.map_fails(after=step))
    error = attempt(lambda: Controller.open(device, interrupts=interrupts, **QUICK).close())
    assert error is None or "injected" in str(error)
    assert isinstance(error, DmaError) or step > 5
    assert device.dma.mapped_bytes == 0
    assert opens(device, interrupts)


def test_vectors_that_cannot_be_had_while_opening(device):
    device.handle.faults.add(Fault.irq_refused(count=None))
    with pytest.raises(PymmioError, match="injected"):
        Controller.open(device, interrupts="msix", **QUICK)
    assert device.dma.mapped_bytes == 0
    assert opens(device, None)


@pytest.mark.parametrize("step", range(0, 40, 6))
@pytest.mark.parametrize("reads", ["ones", "zeros", "fault"])
def test_a_device_that_is_removed_while_opening(nvme_uri, interrupts, step, reads):
    with faults.open_device(nvme_uri) as device:
        device.handle.faults.add(Fault.removed(reads, after=step))
        error = attempt(lambda: Controller.open(device, interrupts=interrupts, **QUICK).close())
        kinds = (DeviceGone, DeviceTimeout)
        assert error is None or any(isinstance(one, kinds) for one in chain(error)), error
        assert device.dma.mapped_bytes == 0


def test_a_version_that_reads_as_all_ones_while_opening(device):
    device.handle.faults.add(Fault.ones(offset=CSTS))
    with pytest.raises(DeviceGone):
        Controller.open(device, **QUICK)
    assert device.dma.mapped_bytes == 0


# --- interrupts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [Fault.irq_lost(count=None), Fault.irq_late(0.02, count=None), Fault.irq_twice(count=None)],
)
def test_interrupts_that_are_lost_late_or_doubled_cost_no_reset(device, fault):
    with Controller.open(device, interrupts="msix", **QUICK) as ctrl:
        add(ctrl, fault)
        ns = ctrl.namespaces[1]
        for lba in range(3):
            ns.write_bytes(bytes([lba]) * ns.block_size, lba=lba)
        futures = [ns.flush_async() for _ in range(3)]
        assert all(future.exception(SOON_S) is None for future in futures)
        assert ctrl.resets == 0
        assert works(ctrl)


# --- registers --------------------------------------------------------------------------------


def test_a_doorbell_that_is_lost_ends_in_a_time_out_and_the_controller_comes_back(ctrl):
    add(ctrl, Fault.write_lost(offset=SQ1_DOORBELL, length=4))
    with pytest.raises((CommandTimeout, CommandAborted)):
        ctrl.namespaces[1].flush()
    assert works(ctrl)


def test_a_doorbell_of_completions_that_is_lost_hurts_nobody_or_resets(ctrl):
    add(ctrl, Fault.write_lost(offset=CQ1_DOORBELL, length=4, count=3))
    ns = ctrl.namespaces[1]
    for _ in range(300):  # more than the queue has entries
        ns.flush()
    assert works(ctrl)


@pytest.mark.parametrize("offset", [SQ1_DOORBELL, CQ1_DOORBELL])
def test_a_doorbell_that_faults_resets_the_controller(ctrl, offset):
    add(ctrl, Fault.access_fault(offset=offset, length=4))
    error = until_it_fails(lambda: (ctrl.namespaces[1].flush(), wait_for_reset(ctrl)))
    assert error is None or isinstance(error, (CommandAborted, CommandTimeout, AccessFault))
    assert settled(ctrl) is State.READY
    assert works(ctrl)


def wait_for_reset(ctrl):
    """Raise CommandAborted once the controller was reset, for until_it_fails."""
    if ctrl.resets:
        raise CommandAborted("it was reset")


def test_a_status_that_reads_as_all_ones_is_a_device_that_left_or_a_reset(ctrl):
    add(ctrl, Fault.write_lost(offset=SQ1_DOORBELL, length=4), Fault.ones(offset=CSTS))
    error = until_it_fails(ctrl.namespaces[1].flush)
    assert isinstance(error, (CommandAborted, CommandTimeout, ControllerGone))
    if settled(ctrl) is State.FAILED:
        ctrl.device.handle.faults.clear()
        ctrl.reset()
    assert works(ctrl)


# --- memory -----------------------------------------------------------------------------------


def test_memory_that_cannot_be_had_later_is_an_error_of_that_call_only(ctrl):
    add(ctrl, Fault.map_fails(count=2))
    for _ in range(2):
        with pytest.raises(DmaError, match="injected"):
            ctrl.alloc(1 << 20)
    ctrl.alloc(1 << 20).close()
    assert works(ctrl)


# --- the device as a whole --------------------------------------------------------------------


@pytest.mark.parametrize("reads", ["ones", "zeros", "fault"])
@pytest.mark.parametrize("step", [0, 1, 5, 20])
def test_a_device_that_is_removed_at_work_ends_everything(device, interrupts, reads, step):
    ctrl = Controller.open(device, interrupts=interrupts, **QUICK)
    ns = ctrl.namespaces[1]
    buffer = ctrl.alloc(4096)
    add(ctrl, Fault.removed(reads, after=step))

    def work():
        ns.read(buffer, lba=0)
        ns.flush_async().result(SOON_S)

    error = until_it_fails(work)
    assert isinstance(error, (DeviceGone, CommandAborted, CommandTimeout)), error
    assert isinstance(until_it_fails(work), DeviceGone)
    assert settled(ctrl) is State.FAILED
    buffer.close()  # given back: nobody can write to it any more
    ctrl.close()
    assert device.dma.mapped_bytes == 0


@pytest.mark.parametrize("step", [0, 1, 4, 9])
def test_a_device_that_is_reset_at_work_comes_back(ctrl, step):
    ns = ctrl.namespaces[1]
    with ctrl.alloc(4096) as buffer:
        add(ctrl, Fault.reset(offset=0x1000, length=0x1000, after=step))

        def work():
            ns.read(buffer, lba=0)
            wait_for_reset(ctrl)

        error = until_it_fails(work)
        assert isinstance(error, (CommandAborted, CommandTimeout, AccessFault)), error
    assert works(ctrl)


def test_a_device_whose_reset_fails_too_is_failed_and_keeps_off_memory(ctrl):
    ns = ctrl.namespaces[1]
    buffer = ctrl.alloc(4096)
    add(
        ctrl,
        Fault.write_lost(offset=SQ1_DOORBELL, length=4, count=None),
        Fault.reads_as(1, offset=CSTS, count=None),  # ready, whatever is asked of it
        Fault.reset_fails(count=None),
    )
    with pytest.raises((CommandTimeout, CommandAborted)):
        ns.read(buffer, lba=0)
    assert settled(ctrl) is State.FAILED
    assert not ctrl.device.config.command & 4
    with pytest.raises(ControllerFailed):
        ns.flush()
    buffer.close()
    ctrl.device.handle.faults.clear()
    ctrl.reset()
    assert works(ctrl)


# --- completions, by a model ------------------------------------------------------------------


@pytest.mark.parametrize("qid", [0, 1])
def test_a_completion_that_is_lost_ends_in_a_time_out_and_a_reset(sim, qid):
    add(sim, nvme.completion_lost(qid))
    with sim.alloc(4096) as buffer:
        with pytest.raises(CommandTimeout):
            if qid:
                sim.namespaces[1].read(buffer, lba=0)
            else:
                sim.admin.get_features(1)
    assert settled(sim) is State.READY
    assert sim.resets == 1
    assert works(sim)


def test_a_completion_that_is_late_but_in_time_is_taken(sim):
    add(sim, nvme.completion_late(0.02, 1))
    sim.namespaces[1].flush()
    assert sim.resets == 0
    assert works(sim)


def test_memory_of_a_command_whose_completion_does_not_come_is_the_device_s(sim):
    add(sim, nvme.completion_late(None, 1))
    buffer = sim.alloc(4096)
    request = sim.namespaces[1].read_async(buffer, lba=0)
    with pytest.raises(BufferBusy):
        buffer.close()
    sim.device.handle.release()
    assert request.exception(SOON_S) is None
    buffer.close()
    assert works(sim)


def test_a_completion_that_is_too_late_never_comes(sim):
    add(sim, nvme.completion_late(None, 1))
    buffer = sim.alloc(4096)
    with pytest.raises(CommandTimeout):
        sim.namespaces[1].read(buffer, lba=0)
    buffer.close()
    assert settled(sim) is State.READY
    sim.device.handle.release()
    (late,) = sim.device.handle.faults.log
    assert "never came" in late.outcome
    assert works(sim)


@pytest.mark.parametrize(
    ("status", "match"),
    [(0x281, "Unrecovered Read Error"), (0x002, "Invalid Field"), (0x4006, "Internal")],
)
def test_a_status_that_is_changed_is_raised_and_hurts_nothing_else(sim, status, match):
    add(sim, nvme.status_changed(status, 1))
    ns = sim.namespaces[1]
    with pytest.raises(StatusError, match=match) as caught:
        ns.read_bytes(lba=0, blocks=1)
    assert caught.value.do_not_retry == bool(status & 0x4000)
    assert sim.resets == 0
    assert works(sim)


def test_data_that_is_late_is_kept_from_memory_that_was_given_back(sim):
    ns = sim.namespaces[1]
    buffer = sim.alloc(4096)
    add(sim, Fault.dma_write_late(when=nvme.Data(), count=1))
    ns.read(buffer, lba=0)
    buffer.close()
    sim.device.handle.release()
    (late,) = sim.device.handle.faults.log
    assert "refused" in late.outcome
    assert works(sim)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.dma_write_wrong(
            lambda data: bytes([data[0] ^ 0x55]) + data[1:], when=nvme.Completions(1), count=1
        ),
        Fault.dma_read_wrong(count=1),
        Fault.dma_refused(count=1),
        Fault.dma_refused(count=1, when=nvme.Completions(1)),
        Fault.dma_write_lost(count=1),
    ],
    ids=["another command", "garbled command", "command refused", "completion refused", "lost"],
)
def test_what_a_controller_gone_mad_says_ends_typed_and_it_comes_back(sim, fault):
    add(sim, fault)
    with pytest.raises((CommandAborted, CommandTimeout, StatusError, ProtocolError)):
        sim.namespaces[1].flush()
    assert settled(sim) is State.READY
    assert works(sim)


def test_many_threads_and_a_plan_of_everything(interrupts):
    plan = faults.FaultPlan(
        Fault.irq_lost(probability=0.05),
        nvme.completion_lost(1, probability=0.005),
        nvme.status_changed(0x281, 1, probability=0.02),
        Fault.access_fault(offset=SQ1_DOORBELL, length=4, probability=0.005),
        seed=11,
    )
    errors: list[BaseException] = []

    def work(ns, index):
        data = bytes([index]) * ns.block_size
        for _ in range(60):
            try:
                ns.write_bytes(data, lba=index)
                if ns.read_bytes(lba=index, blocks=1) != data:
                    errors.append(AssertionError(f"thread {index} read something else"))
            except (CommandAborted, CommandTimeout, StatusError, AccessFault):
                continue
            except BaseException as error:
                errors.append(error)
                return

    with faults.open_device("sim:nvme?size=16M", plan, armed=False) as device:
        with Controller.open(device, interrupts=interrupts, queues=2, **QUICK) as ctrl:
            device.handle.faults.on()
            threads = [
                threading.Thread(target=work, args=(ctrl.namespaces[1], i)) for i in range(3)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()
            assert not errors
            assert device.handle.faults.log
            assert works(ctrl)
        assert device.dma.mapped_bytes == 0
