"""Devices that fail: on the edu model, and on a backend that shows nothing but its Protocols."""

from __future__ import annotations

import inspect
import os
import threading

import pytest

from pymmio.backend import open_handle
from pymmio.dma.refused import RefusesDma
from pymmio.errors import (
    AccessFault,
    DeviceGone,
    DeviceTimeout,
    DmaError,
    PymmioError,
    Unsupported,
    UriError,
    VectorsExhausted,
)
from pymmio.handle import CONFIG_REGION, Access, IrqKind
from pymmio.models.edu import EduModel
from pymmio.pci import Command
from pymmio.testing import faults
from pymmio.testing.faults import Fault, FaultPlan
from pymmio.uri import DeviceUri

SOON_S = 10.0
ID, LIVENESS, FACTORIAL, STATUS = 0x00, 0x04, 0x08, 0x20  # QEMU docs/specs/edu.rst
IRQ_RAISE, IRQ_ACKNOWLEDGE = 0x60, 0x64
DMA_SOURCE, DMA_TARGET, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
EDU_ID = 0x010000ED
INSIDE = 0x40000


class Opaque:
    """A handle of which no more is to be seen than what every backend has."""

    def __init__(self, inner):
        self.name, self.dma, self.irq = inner.name, inner.dma, inner.irq
        for method in ("region_infos", "open_region", "reset", "is_gone", "close"):
            setattr(self, method, getattr(inner, method))


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No descriptor and no thread of faults outlives a test."""
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not [t for t in threading.enumerate() if t.name.startswith("pymmio faults")]


@pytest.fixture(params=["model", "opaque"])
def edu(request):
    """An edu device without a plan: tests add faults."""
    if request.param == "model":
        device = faults.open_device("sim:edu")
    else:
        handle = faults.wrap(Opaque(open_handle(DeviceUri.parse("sim:edu"))))
        device = faults.opening.Device(DeviceUri("opaque", "edu"), handle)
    with device:
        yield device


@pytest.fixture
def model_edu():
    with faults.open_model(EduModel()) as device:
        yield device


def add(device, *some):
    faults.faults_of(device).add(*some)


def happened(device):
    return [one.fault.what for one in faults.faults_of(device).log]


# --- registers ---------------------------------------------------------------------------------


def test_reads_give_something_else_as_often_as_planned(edu):
    bar = edu.region(0)
    add(edu, Fault.ones(offset=ID, after=1, count=2))
    assert [bar.read32(ID) for _ in range(4)] == [EDU_ID, 0xFFFF_FFFF, 0xFFFF_FFFF, EDU_ID]
    add(edu, Fault.reads_as(0x1_2345_6789, offset=ID), Fault.flipped(0xFF, offset=LIVENESS))
    assert bar.read32(ID) == 0x2345_6789
    bar.write32(LIVENESS, 0)
    assert bar.read32(LIVENESS) == 0xFFFF_FF00
    assert happened(edu) == ["ones", "ones", "reads_as", "flipped"]


def test_writes_get_lost(edu):
    bar = edu.region(0)
    bar.write32(LIVENESS, 1)
    add(edu, Fault.write_lost(offset=LIVENESS))
    bar.write32(LIVENESS, 2)
    assert bar.read32(LIVENESS) == 0xFFFF_FFFE
    bar.write32(LIVENESS, 2)
    assert bar.read32(LIVENESS) == 0xFFFF_FFFD


def test_accesses_fault(edu):
    bar = edu.region(0)
    add(edu, Fault.access_fault(offset=LIVENESS, count=2))
    with pytest.raises(AccessFault, match="injected by a test") as caught:
        bar.write32(LIVENESS, 7)
    assert (caught.value.offset, caught.value.value, caught.value.is_write) == (LIVENESS, 7, True)
    with pytest.raises(AccessFault) as caught:
        bar.read32(LIVENESS)
    assert not caught.value.is_write
    bar.read32(LIVENESS)


def test_a_wait_that_sees_wrong_values_ends_at_its_deadline(edu):
    add(edu, Fault.reads_as(1, offset=STATUS, count=None))
    with pytest.raises(DeviceTimeout) as caught:
        edu.region(0).wait32(STATUS, mask=1, value=0, timeout_s=0.02)
    assert caught.value.last == 1


def test_configuration_space_fails_too_where_it_is_named(edu):
    add(edu, Fault.reads_as(0x5555, region=CONFIG_REGION, offset=0))
    assert edu.config.read16(0) == 0x5555
    assert edu.config.read16(0) == 0x1234


def test_every_access_is_seen_also_those_of_engines(edu):
    bar = edu.region(0)
    assert bar.access is Access.MESSAGE
    doorbell = bar.doorbell(LIVENESS)
    add(edu, Fault.write_lost(offset=LIVENESS, after=1))
    for value in (1, 2):
        doorbell.ring(value)
    assert bar.read32(LIVENESS) == 0xFFFF_FFFE
    assert doorbell.rings == 2


def test_memory_of_a_device_is_not_mapped_either():
    with faults.open_device("sim:access-recorder", FaultPlan(Fault.ones(after=1))) as device:
        region = device.region(2)
        assert region.access is Access.MESSAGE
        region.write32(0, 5)
        assert [region.read32(0) for _ in range(3)] == [5, 0xFFFF_FFFF, 5]
        with pytest.raises(Unsupported):
            region.view()


def test_mapping_cannot_be_forced():
    with faults.open_device("sim:access-recorder", access="mapped") as device:
        with pytest.raises(Unsupported, match="message"):
            device.region(2)


# --- the device as a whole -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reads", "value"), [("ones", 0xFFFF_FFFF), ("zeros", 0), ("fault", DeviceGone)]
)
def test_a_removed_device_answers_nothing_any_more(edu, reads, value):
    bar = edu.region(0)
    edu.enable_bus_master()
    add(edu, Fault.removed(reads, after=1))
    assert bar.read32(ID) == EDU_ID
    if value is DeviceGone:
        for access in (lambda: bar.read32(ID), lambda: bar.write32(LIVENESS, 1)):
            with pytest.raises(DeviceGone):
                access()
    else:
        assert bar.read32(ID) == value
        bar.write32(LIVENESS, 1)
    assert edu.config.read32(0) == 0xFFFF_FFFF
    with pytest.raises(DeviceGone):
        edu.check_present()
    with pytest.raises(DeviceGone):
        edu.reset()
    with pytest.raises(DeviceGone):
        bar.wait32(STATUS, mask=0x10, value=0x10 if value == 0 else 0, timeout_s=0.01)
    really = edu.handle.inner.open_region(CONFIG_REGION).read(4, 2)
    assert not really & Command.BUS_MASTER
    faults.faults_of(edu).off()
    assert edu.handle.is_gone()


def test_a_reset_behind_the_driver_s_back_loses_its_state(edu):
    bar = edu.region(0)
    bar.write32(LIVENESS, 1)
    add(edu, Fault.reset(after=1))
    bar.read32(LIVENESS)
    with pytest.raises(AccessFault, match="memory decoding is off"):
        bar.read32(LIVENESS)
    edu.config.update_command(on=Command.MEMORY)
    assert bar.read32(LIVENESS) == 0


def test_resets_fail_and_are_late(edu):
    add(edu, Fault.reset_fails())
    with pytest.raises(Unsupported, match="injected"):
        edu.reset()
    edu.reset()
    add(edu, Fault.reset_late(0.05))
    with pytest.raises(DeviceTimeout, match="within"):
        edu.reset(timeout_s=0.001)


# --- interrupts ----------------------------------------------------------------------------------


def raise_irq(edu):
    edu.region(0).write32(IRQ_RAISE, 1)


@pytest.fixture
def msi(edu):
    edu.enable_bus_master()
    return edu.irqs.msi[0]


def test_interrupts_come_through(edu, msi):
    for _ in range(3):
        raise_irq(edu)
        assert msi.wait(timeout_s=SOON_S) == 1


def test_interrupts_get_lost(edu, msi):
    add(edu, Fault.irq_lost(after=1))
    raise_irq(edu)
    msi.wait(timeout_s=SOON_S)
    raise_irq(edu)
    with pytest.raises(DeviceTimeout):
        msi.wait(timeout_s=0.05)
    raise_irq(edu)
    assert msi.wait(timeout_s=SOON_S) == 1
    assert happened(edu) == ["irq_lost"]


def test_interrupts_are_late(edu, msi):
    add(edu, Fault.irq_late(0.01))
    raise_irq(edu)
    assert msi.wait(timeout_s=SOON_S) == 1
    add(edu, Fault.irq_late())
    raise_irq(edu)
    with pytest.raises(DeviceTimeout):
        msi.wait(timeout_s=0.05)
    assert edu.handle.release() == 1
    assert msi.wait(timeout_s=SOON_S) == 1


def test_interrupts_come_twice(edu, msi):
    add(edu, Fault.irq_twice())
    raise_irq(edu)
    events = msi.wait(timeout_s=SOON_S)
    if events == 1:
        events += msi.wait(timeout_s=SOON_S)
    assert events == 2


def test_intx_is_masked_and_unmasked_as_ever(edu):
    pin = edu.irqs.intx[0]
    bar = edu.region(0)
    for _ in range(3):
        raise_irq(edu)
        pin.wait(timeout_s=SOON_S)
        bar.write32(IRQ_ACKNOWLEDGE, 1)


def test_vectors_are_refused(edu):
    add(edu, Fault.irq_refused())
    with pytest.raises(VectorsExhausted, match="injected"):
        edu.irqs.msi.enable(1)
    edu.irqs.msi.enable(1)


def test_interrupts_of_a_removed_device_do_not_come(edu, msi):
    add(edu, Fault.removed(offset=ID))
    raise_irq(edu)
    msi.wait(timeout_s=SOON_S)
    edu.region(0).read32(ID)
    edu.handle.inner.irq.raise_irq(IrqKind.MSI, 0)
    with pytest.raises(DeviceGone):
        msi.wait(timeout_s=0.05)


def test_switching_off_ends_it(edu, msi):
    edu.irqs.msi.disable()
    raise_irq(edu)
    again = edu.irqs.msi[0]
    with pytest.raises(DeviceTimeout):
        again.wait(timeout_s=0.02)


# --- memory --------------------------------------------------------------------------------------


def test_mapping_fails_and_leaves_nothing(edu):
    add(edu, Fault.map_fails(after=1))
    with edu.dma.alloc(4096):
        with pytest.raises(DmaError, match="injected"):
            edu.dma.alloc(4096)
        assert edu.dma.mapped_bytes == 4096
        edu.dma.alloc(4096).close()


def test_memory_that_cannot_be_taken_away_stays_as_it_is(edu):
    buffer = edu.dma.alloc(4096)
    add(edu, Fault.unmap_fails())
    with pytest.raises(DmaError, match="injected"):
        buffer.close()
    assert edu.dma.mapped_bytes == 4096
    edu.dma.alloc(4096).close()


def copy_out(edu, buffer, size=16):
    """Have the device write to the buffer; done when this returns, as far as the device knows."""
    bar = edu.region(0)
    edu.enable_bus_master()
    for offset, value in ((DMA_SOURCE, INSIDE), (DMA_TARGET, buffer.iova), (DMA_COUNT, size)):
        bar.write64(offset, value)
    bar.write64(DMA_COMMAND, 3)
    bar.wait64(DMA_COMMAND, mask=1, value=0, timeout_s=SOON_S)


@pytest.fixture
def buffer(model_edu):
    """Memory of ones; the device writes zeros."""
    with model_edu.dma.alloc(4096, address_bits=28) as buffer:
        with memoryview(buffer) as view:
            view[:] = b"\x11" * 4096
        yield buffer


def test_what_the_device_writes_gets_lost_or_is_wrong(model_edu, buffer):
    add(model_edu, Fault.dma_write_lost(), Fault.dma_write_wrong(after=1))
    copy_out(model_edu, buffer)
    assert bytes(buffer[:16]) == b"\x11" * 16
    copy_out(model_edu, buffer)
    assert bytes(buffer[:16]) == b"\xff" * 16
    copy_out(model_edu, buffer)
    assert bytes(buffer[:16]) == bytes(16)


def test_what_the_device_writes_is_changed_as_asked(model_edu, buffer):
    add(model_edu, Fault.dma_write_wrong(lambda data: b"x" + data[1:]))
    copy_out(model_edu, buffer)
    assert bytes(buffer[:2]) == b"x\0"
    add(model_edu, Fault.dma_write_wrong(lambda data: data + b"more"))
    with pytest.raises(ValueError, match="20 bytes of 16"):
        copy_out(model_edu, buffer)


def test_what_is_late_arrives_when_it_is_let(model_edu, buffer):
    add(model_edu, Fault.dma_write_late())
    copy_out(model_edu, buffer)
    assert bytes(buffer[:16]) == b"\x11" * 16
    assert model_edu.handle.release() == 1
    assert bytes(buffer[:16]) == bytes(16)
    (late,) = faults.faults_of(model_edu).log
    assert late.outcome == "arrived"


def test_what_is_late_does_not_reach_memory_that_was_taken_away(model_edu):
    with model_edu.dma.alloc(4096, address_bits=28) as buffer:
        add(model_edu, Fault.dma_write_late())
        copy_out(model_edu, buffer)
    model_edu.handle.release()
    (late,) = faults.faults_of(model_edu).log
    assert "refused" in late.outcome
    assert "nothing is mapped" in late.outcome


def test_a_reset_forgets_what_is_late(model_edu, buffer):
    add(model_edu, Fault.dma_write_late())
    copy_out(model_edu, buffer)
    model_edu.reset()
    assert model_edu.handle.release() == 0


def test_what_the_device_reads_is_wrong(model_edu, buffer):
    bar = model_edu.region(0)
    model_edu.enable_bus_master()
    add(model_edu, Fault.dma_read_wrong())
    for offset, value in ((DMA_SOURCE, buffer.iova), (DMA_TARGET, INSIDE), (DMA_COUNT, 4)):
        bar.write64(offset, value)
    bar.write64(DMA_COMMAND, 1)
    bar.wait64(DMA_COMMAND, mask=1, value=0, timeout_s=SOON_S)
    assert model_edu.handle.model.buffer[:4] == b"\xee" * 4


def test_a_removed_model_reaches_no_memory(model_edu, buffer):
    add(model_edu, Fault.removed())
    model_edu.region(0).read32(ID)
    with pytest.raises(DmaError, match="removed"):
        model_edu.handle.model.host.dma_write(buffer.iova, b"x")
    assert bytes(buffer[:1]) == b"\x11"


def test_only_a_model_tells_what_it_does_to_memory():
    handle = Opaque(open_handle(DeviceUri.parse("sim:edu")))
    with pytest.raises(Unsupported, match=r"does not tell.*faulty_model"):
        faults.wrap(handle, FaultPlan(Fault.irq_lost(), Fault.dma_write_lost()))
    handle.close()


def test_a_model_fails_whoever_serves_it(buffer):
    model = EduModel()
    injector = faults.faulty_model(model, FaultPlan(Fault.dma_write_wrong()))
    from pymmio.testing import open_model

    with open_model(model) as device, device.dma.alloc(4096, address_bits=28) as memory:
        copy_out(device, memory)
        assert bytes(memory[:16]) == b"\xff" * 16
    assert [one.fault.what for one in injector.log] == ["dma_write_wrong"]
    with pytest.raises(Unsupported, match="irq_lost"):
        faults.faulty_model(model, FaultPlan(Fault.irq_lost()))


# --- opening and closing -------------------------------------------------------------------------


def test_a_model_is_as_it_was_afterwards():
    model = EduModel()
    with faults.open_model(model, FaultPlan(Fault.dma_write_lost())) as device:
        served_by = device.handle.inner
        assert model.host is not served_by
    assert model.host is served_by
    assert "bar_write" not in vars(model)


def test_a_device_that_cannot_be_opened_is_given_back():
    plan = FaultPlan(Fault.access_fault(region=CONFIG_REGION, count=None))
    with pytest.raises(AccessFault):
        faults.open_device("sim:edu", plan)
    with faults.open_device("sim:edu", plan, armed=False) as device:
        faults.faults_of(device).on()
        with pytest.raises(AccessFault):
            device.config.read16(0)
        faults.faults_of(device).off()


def test_other_errors_of_opening_are_what_they_are():
    for uri, access, error in (
        ("nonsense:x", "auto", UriError),
        ("sim:edu", "magic", Unsupported),
    ):
        with pytest.raises(error):
            faults.open_device(uri, access=access)


def test_a_device_without_faults_has_no_injector():
    import pymmio

    with pymmio.open_device("sim:edu") as device, pytest.raises(Unsupported):
        faults.faults_of(device)


def test_what_only_some_backends_have_is_there(edu):
    if not isinstance(edu.handle.inner, Opaque):
        assert "model" in edu.reset_methods()
        edu.handle.slot.unplug()
        assert edu.handle.is_gone()


def test_what_a_protocol_asks_for_is_found_without_asking():
    """Since Python 3.12 a check of a Protocol sees attributes of the class only."""

    class NoDma:
        page_size, max_mappings, pins_memory, iova_ranges = 4096, 0, False, ()

        def why_no_dma(self):
            return Unsupported("none here")

        map = unmap = None

    with faults.open_device("sim:edu") as device:
        assert inspect.getattr_static(device.handle, "reset_methods")
        with pytest.raises(AttributeError):
            inspect.getattr_static(device.handle.dma, "why_no_dma")
        wrapped = faults.handles.FaultyDma(NoDma(), device.handle)
    assert isinstance(wrapped, RefusesDma)
    assert isinstance(wrapped, faults.handles.FaultyDma)
    assert inspect.getattr_static(wrapped, "why_no_dma")
    assert str(wrapped.why_no_dma()) == "none here"


def test_faults_may_come_from_any_thread(edu):
    add(edu, Fault.ones(offset=ID, probability=0.3, count=None))
    bar = edu.region(0)
    seen: list[set[int]] = []

    def work():
        seen.append({bar.read32(ID) for _ in range(200)})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert set().union(*seen) == {EDU_ID, 0xFFFF_FFFF}
    numbers = [one.number for one in faults.faults_of(edu).log]
    assert numbers == list(range(len(numbers)))


def test_errors_are_pymmio_s(edu):
    add(edu, Fault.access_fault(), Fault.map_fails(), Fault.reset_fails())
    for use in (lambda: edu.region(0).read32(0), lambda: edu.dma.alloc(1), edu.reset):
        with pytest.raises(PymmioError):
            use()
