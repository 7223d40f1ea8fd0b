"""The life of a virtio device: started, broken, reset, closed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pymmio.errors import (
    BadArgument,
    Closed,
    DeviceFailed,
    DeviceGone,
    DeviceNotFound,
    DeviceTimeout,
    FeatureMissing,
    PymmioError,
    Unsupported,
)
from pymmio.models.edu import EduModel
from pymmio.testing import open_model
from pymmio.virtio import (
    ACCESS_PLATFORM,
    EVENT_IDX,
    INDIRECT_DESC,
    RING_PACKED,
    VERSION_1,
    DeviceStatus,
    FeatureSet,
    VirtioDevice,
)
from tests.unit.virtio.echo import EchoModel

RINGS = [(), (EVENT_IDX, INDIRECT_DESC), (RING_PACKED,), (RING_PACKED, EVENT_IDX, INDIRECT_DESC)]


@pytest.fixture
def model() -> EchoModel:
    return EchoModel()


@pytest.fixture
def device(model: EchoModel) -> Iterator[VirtioDevice]:
    with VirtioDevice.open(open_model(model), device_type=42) as opened:
        yield opened


@pytest.mark.parametrize("interrupts", [False, None, True])
@pytest.mark.parametrize("wanted", RINGS, ids=lambda wanted: "+".join(map(str, wanted)) or "split")
def test_buffers_go_both_ways(device: VirtioDevice, wanted, interrupts) -> None:
    device.start({0: None, 1: 4}, wanted=wanted, interrupts=interrupts)
    buffer = device.dma.alloc(4096)
    for index in (0, 1):
        queue = device.queues[index]
        for number in range(50):
            memoryview(buffer)[:6] = b"%06d" % number
            sent = queue.submit([buffer[0:2], buffer[2:6]], [buffer[100:104], buffer[200:208]])
            assert queue.wait(sent, 5.0) == 6
            assert bytes(buffer)[100:104] + bytes(buffer)[200:202] == b"%06d" % number


@pytest.mark.parametrize("wanted", RINGS, ids=lambda wanted: "+".join(map(str, wanted)) or "split")
def test_more_buffers_than_the_ring_takes_are_sent_as_there_is_room(
    device: VirtioDevice, model: EchoModel, wanted
) -> None:
    device.start({1: None}, wanted=wanted, interrupts=False)
    queue = device.queues[1]
    buffer = device.dma.alloc(4096)
    model.is_holding = True
    sent = [queue.submit([buffer[i : i + 1]], [buffer[100 + i : 101 + i]]) for i in range(20)]
    assert queue.outstanding == 20
    while not all(one.done() for one in sent):
        model.give_back()
        queue.poll(0.0)
    assert [one.result() for one in sent] == [1] * 20
    assert queue.outstanding == 0


def test_the_status_goes_through_its_steps(device: VirtioDevice) -> None:
    device.start({0: None})
    assert device.status == DeviceStatus(1 | 2 | 8 | 4)
    device.reset()
    assert device.status == DeviceStatus(0)
    device.start({0: None})


def test_starting_twice_is_refused(device: VirtioDevice) -> None:
    device.start({0: None})
    with pytest.raises(BadArgument, match="started already"):
        device.start({0: None})


def test_features_are_what_was_negotiated(device: VirtioDevice, model: EchoModel) -> None:
    chosen = device.start({0: None}, wanted=[RING_PACKED])
    assert RING_PACKED in chosen
    assert VERSION_1 in chosen
    assert EVENT_IDX not in chosen
    assert model.features == chosen.value == device.features.value


def test_a_device_behind_an_iommu_must_know_it(device: VirtioDevice, model: EchoModel) -> None:
    model.offered &= ~ACCESS_PLATFORM.mask
    with pytest.raises(FeatureMissing, match="ACCESS_PLATFORM"):
        device.start({0: None})
    assert DeviceStatus.FAILED in device.status
    assert model.chains == []


def test_features_that_the_device_refuses(device: VirtioDevice, model: EchoModel) -> None:
    model.refuses_features = True
    with pytest.raises(Unsupported, match="does not work with the features"):
        device.start({0: None})


def test_a_queue_that_does_not_exist(device: VirtioDevice) -> None:
    with pytest.raises(DeviceNotFound, match="no virtqueue 7"):
        device.start({7: None})
    device.start({0: None})  # and nothing is in the way


def test_a_queue_larger_than_the_device_has(device: VirtioDevice) -> None:
    with pytest.raises(BadArgument, match="16 descriptors at most"):
        device.start({0: 32})


def test_a_reset_that_does_not_end(device: VirtioDevice, model: EchoModel) -> None:
    model.never_resets = True
    with pytest.raises(DeviceTimeout, match="status 0x01"):
        device.reset(0.01)
    model.never_resets = False


def test_what_is_under_way_fails_at_a_reset(device: VirtioDevice, model: EchoModel) -> None:
    device.start({0: None}, interrupts=False)
    model.is_holding = True
    buffer = device.dma.alloc(4096)
    sent = device.queues[0].submit([buffer[:8]])
    with pytest.raises(DeviceTimeout, match="stays with the device"):
        device.queues[0].wait(sent, 0.01)
    with pytest.raises(PymmioError, match="used by the device"):
        buffer.close()
    device.reset()
    with pytest.raises(DeviceFailed):
        sent.result(0)
    buffer.close()


@pytest.mark.parametrize("interrupts", [False, True])
def test_a_device_that_needs_a_reset_says_so_to_all_who_wait(
    device: VirtioDevice, model: EchoModel, interrupts: bool
) -> None:
    device.start({0: None}, interrupts=interrupts)
    model.is_holding = True
    buffer = device.dma.alloc(4096)
    sent = [device.queues[0].submit([buffer[:8]]) for _ in range(3)]
    model.fail()
    for one in sent:
        with pytest.raises(DeviceFailed, match="cannot recover"):
            device.queues[0].wait(one, 5.0)
    with pytest.raises(DeviceFailed):
        device.queues[0].submit([buffer[:8]])
    device.reset()
    model.is_holding = False
    device.start({0: None}, interrupts=interrupts)
    assert device.queues[0].wait(device.queues[0].submit([buffer[:8]]), 5.0) == 0


def test_an_unplugged_device_ends_the_waiting(model: EchoModel) -> None:
    opened = open_model(model)
    device = VirtioDevice.open(opened)
    device.start({0: None}, interrupts=False)
    model.is_holding = True
    buffer = device.dma.alloc(4096)
    sent = device.queues[0].submit([buffer[:8]])
    opened.handle.slot.unplug()
    with pytest.raises(DeviceGone):
        device.queues[0].wait(sent, 5.0)
    device.close()


def test_close_fails_what_is_left_and_gives_everything_back(model: EchoModel) -> None:
    before = len(os.listdir("/proc/self/fd"))
    opened = open_model(model)
    device = VirtioDevice.open(opened)
    device.start({0: None, 1: None}, interrupts=True)
    model.is_holding = True
    sent = device.queues[0].submit([device.dma.alloc(4096)])
    device.close()
    device.close()
    assert isinstance(sent.exception(0), (Closed, DeviceFailed))
    assert opened.closed
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(Closed):
        device.start({0: None})


def test_another_kind_of_device_is_refused(model: EchoModel) -> None:
    with pytest.raises(Unsupported, match="type 42, not 4"), open_model(model) as opened:
        VirtioDevice.open(opened, device_type=4)
    with pytest.raises(Unsupported, match="no virtio device"), open_model(EduModel()) as opened:
        VirtioDevice.open(opened)


def test_no_interrupts_where_they_were_asked_for() -> None:
    class Silent(EchoModel):
        has_intx = False

        def __init__(self) -> None:
            super().__init__()
            self.msix_vectors = 0

    with VirtioDevice.open(open_model(Silent())) as device:
        with pytest.raises(Unsupported, match="no interrupts"):
            device.start({0: None}, interrupts=True)
        device.start({0: None})
        assert device.queues[0].is_polled


def test_level_interrupts_are_acknowledged() -> None:
    class OldStyle(EchoModel):
        def __init__(self) -> None:
            super().__init__()
            self.msix_vectors = 0

    with VirtioDevice.open(open_model(OldStyle())) as device:
        device.start({0: None, 1: None}, interrupts=True)
        buffer = device.dma.alloc(4096)
        for _ in range(20):
            for queue in device.queues.values():
                assert queue.submit([buffer[:4]], [buffer[8:16]]).result(5.0) == 4


class Refused(Exception):
    pass


@pytest.mark.parametrize("step", range(40))
def test_a_failure_at_any_step_of_start_leaves_nothing(
    model: EchoModel, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = VirtioDevice.open(open_model(model))
    before = (len(os.listdir("/proc/self/fd")), device.dma.mapped_bytes)
    left = [step]
    original = model.bar_write

    def failing(bar: int, offset: int, width: int, value: int) -> None:
        if value != 0 or offset != 0x14:
            left[0] -= 1
            if left[0] == 0:
                raise Refused
        original(bar, offset, width, value)

    monkeypatch.setattr(model, "bar_write", failing)
    try:
        device.start({0: None, 1: None}, interrupts=True)
    except Refused:
        assert device.queues == {}
        assert device.dma.mapped_bytes == before[1]
        assert len(os.listdir("/proc/self/fd")) == before[0]
        monkeypatch.undo()
        device.start({0: None}, interrupts=True)
    device.close()


def test_offered_features_are_read_from_the_device(device: VirtioDevice, model: EchoModel) -> None:
    assert device.offered() == FeatureSet(model.offered)


def test_buffers_that_come_back_at_once_are_let_go(device: VirtioDevice) -> None:
    device.start({0: None}, interrupts=True)  # another thread takes them while they are sent
    for _ in range(300):
        buffer = device.dma.alloc(4096)
        device.queues[0].submit([buffer[:4]], [buffer[8:12]]).result(5.0)
        buffer.close()
