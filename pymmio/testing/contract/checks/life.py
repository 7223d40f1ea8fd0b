"""Life cycle: open, use, close, open again; nothing is left, whatever happens in between."""

from __future__ import annotations

import gc
import os

from pymmio.errors import BufferBusy, Closed, PolicyRefused
from pymmio.handle import CONFIG_REGION, Access
from pymmio.pci import Command
from pymmio.policy import set_policy
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.footprint import descriptor_names, leaves_nothing
from pymmio.testing.contract.subject import Subject
from pymmio.uri import DeviceUri


@check(Group.LIFE)
def a_device_has_a_name(subject: Subject) -> None:
    """The name for messages is short, says something, and stands in messages."""
    with subject.open() as device:
        assert device.name == device.handle.name
        assert 0 < len(device.name) < 200, device.name
        assert device.name in device.region(CONFIG_REGION).name
        assert device.name in repr(device) or str(device.uri) in repr(device)


@check(Group.LIFE)
def opening_and_closing_leaves_nothing(subject: Subject) -> None:
    """After close no descriptor, mapping, thread or process is left."""
    subject.open().close()
    with leaves_nothing("opening and closing"):
        for _ in range(3):
            subject.open().close()
            gc.collect()


@check(Group.LIFE)
def using_everything_leaves_nothing(subject: Subject) -> None:
    """The same where regions, memory and interrupts were in use, and were not closed one by one."""

    def use() -> None:
        device = subject.open()
        exerciser = subject.kind(device, subject.seconds(10))
        for index in {echo.region for echo in exerciser.echoes} | set(exerciser.scratch):
            region = device.region(index)
            region.window(0, 64).read(exerciser.echoes[0].offset & 0x38, 4)
            region.doorbell(0)
        if subject.kind.abilities >= {Ability.DMA} and Ability.DMA not in subject.lacks:
            memory = exerciser.alloc(65536)
            memory[16:32].hold()
        if kinds := exerciser.kinds():
            device.irqs.of_kind(kinds[0]).enable(1)
        device.close()

    use()
    gc.collect()
    with leaves_nothing("using and closing"):
        for _ in range(3):
            use()
            gc.collect()


@check(Group.LIFE)
def after_close_everything_raises_and_the_device_can_be_opened_again(subject: Subject) -> None:
    """Whatever came from a closed device raises Closed; a second close does nothing."""
    with subject.open() as device:
        exerciser = subject.kind(device, subject.seconds(10))
        bar = exerciser.bar
        window = bar.window(0, 64)
        has_dma = subject.kind.abilities >= {Ability.DMA} and Ability.DMA not in subject.lacks
        buffer = device.dma.alloc(4096) if has_dma else None
        kinds = exerciser.kinds()
        vector = device.irqs.of_kind(kinds[0])[0] if kinds else None
        config = device.region(CONFIG_REGION)
    device.close()
    assert device.closed
    calls = {
        "a register": lambda: bar.read32(0),
        "a write": lambda: bar.write32(0, 0),
        "a window": lambda: window.read32(0),
        "a poll": lambda: bar.wait32(0, mask=0, value=0, timeout_s=0),
        "a block": lambda: bar.read_block(0, 8, width=4),
        "configuration space": lambda: config.read32(0),
        "a region": lambda: device.region(CONFIG_REGION),
        "interrupts": lambda: device.irqs.msix.enable(1),
        "memory": lambda: device.dma.alloc(4096),
        "bus mastering": device.enable_bus_master,
        "presence": device.check_present,
    }
    if buffer is not None:
        calls["a buffer"] = lambda: buffer.iova
        calls["a part"] = lambda: buffer[:16]
    if vector is not None:
        calls["a vector"] = lambda: vector.wait(timeout_s=1)
    for what, call in calls.items():
        error = raises(Closed, call, what)
        assert isinstance(error, ValueError), what
    with subject.exerciser() as again:
        again.prove()


@check(Group.LIFE)
def the_device_can_be_opened_again_and_again(subject: Subject) -> None:
    """Each time the device works, and bus mastering is off at first."""
    for _ in range(3):
        with subject.exerciser() as exerciser:
            assert not exerciser.device.config.command & Command.BUS_MASTER
            exerciser.prove()
            for echo in exerciser.echoes:
                exerciser.echo(echo, 0x0102030405060708)
            exerciser.device.enable_bus_master()


@check(Group.LIFE)
def an_exception_closes_the_device(subject: Subject) -> None:
    """A with statement that is left by an exception closes; the exception comes through."""

    class _OwnError(Exception):
        pass

    def use() -> None:
        with subject.open() as device:
            device.region(subject.kind.fixed[0].region).read32(0)
            raise _OwnError

    raises(_OwnError, use)
    with leaves_nothing("a program that failed"):
        raises(_OwnError, use)


@check(Group.LIFE, Ability.DMA)
def memory_that_is_viewed_outlives_the_device(subject: Subject) -> None:
    """Contents of DMA memory can be read by a memoryview that was made before close."""
    with subject.open() as device:
        buffer = device.dma.alloc(4096)
        view = memoryview(buffer)
        view[:4] = b"left"
    assert bytes(view[:4]) == b"left"
    view[4] = 1
    view.release()
    raises(Closed, lambda: buffer.iova)


@check(Group.LIFE, Ability.SCRATCH)
def a_region_that_is_viewed_keeps_the_device(subject: Subject) -> None:
    """While a view of a region exists close raises BufferBusy; closing again ends it."""
    device = subject.open()
    viewed = [
        device.region(index)
        for index in subject.kind.scratch
        if device.regions[index].is_ram and device.region(index).access is Access.MAPPED
    ]
    if not viewed:
        device.close()
        return
    view = viewed[0].view()
    error = raises(BufferBusy, device.close)
    assert isinstance(error, BufferError)
    assert len(bytes(view[:16])) == 16
    raises(Closed, lambda: viewed[0].read32(0))
    view.release()
    device.close()
    with subject.exerciser() as again:
        again.prove()


@check(Group.LIFE)
def opening_with_a_bad_way_leaves_nothing(subject: Subject) -> None:
    """A region that was refused leaves nothing, and the device works on."""
    with subject.open(access=Access.MIO) as device:
        index = subject.kind.fixed[0].region
        with leaves_nothing("a refused region"):
            for _ in range(3):
                try:
                    device.region(index)
                except OSError:
                    continue
                return  # this machine has that way
        assert device.config.vendor_id


@check(Group.LIFE)
def the_policy_is_asked_before_anything_is_touched(subject: Subject) -> None:
    """A device that the policy refuses is not opened; the policy gets the whole URI."""
    asked = []

    def refuse(uri: DeviceUri) -> None:
        asked.append(uri)
        raise PolicyRefused(f"{uri} is refused", hint="this is a test")

    set_policy(refuse)
    try:
        with leaves_nothing("a refused device"):
            raises(PolicyRefused, subject.open)
    finally:
        set_policy(None)
    assert [str(uri) for uri in asked] == [str(DeviceUri.parse(subject.uri))]


@check(Group.LIFE)
def descriptors_are_not_inherited(subject: Subject) -> None:
    """Programs that are started get no descriptor of the device: all are closed on exec."""
    before = set(descriptor_names())
    with subject.open() as device:
        exerciser = subject.kind(device, subject.seconds(10))
        for index in {echo.region for echo in exerciser.echoes} | set(exerciser.scratch):
            device.region(index).doorbell(0)
        has_dma = subject.kind.abilities >= {Ability.DMA} and Ability.DMA not in subject.lacks
        memory = device.dma.alloc(4096) if has_dma else None
        if kinds := exerciser.kinds():
            device.irqs.of_kind(kinds[0]).enable(1)
        for fd, name in descriptor_names().items():
            if fd not in before:
                assert not os.get_inheritable(fd), f"descriptor {fd} ({name}) is inherited"
        assert memory is None or not memory.closed


@check(Group.LIFE)
def a_present_device_is_not_gone(subject: Subject) -> None:
    """is_gone says no while the device is there, and changes nothing."""
    with subject.exerciser() as exerciser:
        device = exerciser.device
        before = [device.region(CONFIG_REGION).read32(at) for at in range(0, 0x40, 4)]
        for _ in range(3):
            assert not device.handle.is_gone()
            device.check_present()
        assert [device.region(CONFIG_REGION).read32(at) for at in range(0, 0x40, 4)] == before
        exerciser.prove()
