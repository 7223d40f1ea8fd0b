"""Two devices in one address space: the same memory at the same address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pymmio.device import Device
from pymmio.errors import Closed
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.checks.memory import store_quietly
from pymmio.testing.contract.devices.base import Exerciser
from pymmio.testing.contract.expect import in_forked_child, raises
from pymmio.testing.contract.footprint import leaves_nothing
from pymmio.testing.contract.subject import Subject


def open_both(subject: Subject) -> tuple[Device, Device]:
    """Open both devices, the second in the address space of the first."""
    assert subject.other is not None
    first = subject.open()
    try:
        return first, subject.opener(subject.other, share_dma_with=first)
    except BaseException:
        first.close()
        raise


@contextmanager
def _both(subject: Subject) -> Iterator[tuple[Exerciser, Exerciser]]:
    first, second = open_both(subject)
    with ExitStack() as stack:
        stack.enter_context(first)
        stack.enter_context(second)
        found = [stack.enter_context(subject.exercise(device)) for device in (first, second)]
        for exerciser in found:
            exerciser.start()
        yield found[0], found[1]


@check(Group.SHARING, Ability.SHARING, Ability.DMA)
def both_see_the_same_memory_at_the_same_address(subject: Subject) -> None:
    """What one device wrote the other reads, at the same address."""
    with _both(subject) as (one, other):
        assert other.device.dma is one.device.dma
        size = one.unit
        data = os.urandom(size)
        buffer = other.alloc(8192)
        with memoryview(buffer) as view:
            view[:size] = data
        assert one.fetch(buffer.iova, size)
        assert one.store(buffer.iova + 4096, size)
        assert other.fetch(buffer.iova + 4096, size)
        assert other.store(buffer.iova + 4096 + size, size)
        assert bytes(buffer)[4096 + size : 4096 + 2 * size] == data
        for exerciser in (one, other):
            exerciser.stop()
        buffer.close()


@check(Group.SHARING, Ability.SHARING, Ability.DMA)
def memory_outlives_the_device_that_it_was_allocated_for(subject: Subject) -> None:
    """A buffer stays until it is closed, or the last device is."""
    first, second = open_both(subject)
    with second, subject.exercise(second) as other:
        with first, subject.exercise(first) as one:
            buffer = one.alloc(4096)
        size = other.unit
        other.start()
        with memoryview(buffer) as view:
            view[:size] = (bytes(range(256)) * 16)[:size]
        assert other.fetch(buffer.iova, size)
        assert other.store(buffer.iova + 2048, size)
        assert bytes(buffer)[2048 : 2048 + size] == bytes(buffer)[:size]
        late = other.alloc(4096)
        assert other.store(late.iova, size)
        assert bytes(late)[255] == 255
        other.stop()
    for gone in (buffer, late):
        raises(Closed, lambda gone=gone: gone.iova)  # type: ignore[misc]


@check(Group.SHARING, Ability.SHARING, Ability.DMA, Ability.ISOLATION)
def a_buffer_that_is_closed_is_gone_for_both(subject: Subject) -> None:
    """Neither device reaches memory that was closed."""
    with _both(subject) as (one, other):
        buffer, witness = one.alloc(4096), other.alloc(4096)
        iova = buffer.iova
        with memoryview(buffer) as view:
            view[:] = b"\xbb" * 4096
        for exerciser in (one, other):
            assert exerciser.fetch(iova, exerciser.unit)
        buffer.close()
        for exerciser in (one, other):
            store_quietly(exerciser, iova, exerciser.unit)
        assert bytes(witness) == bytes(4096)
        for exerciser in (one, other):
            exerciser.stop()
        witness.close()


@check(Group.SHARING, Ability.SHARING, Ability.DMA)
def the_first_can_be_opened_again_and_join_the_second(subject: Subject) -> None:
    """A device may leave the address space and come back."""
    first, second = open_both(subject)
    with second, subject.exercise(second) as other:
        first.close()
        buffer = other.alloc(4096)
        with subject.open(share_dma_with=second) as again, subject.exercise(again) as one:
            one.start()
            size = one.unit
            with memoryview(buffer) as view:
                view[:size] = b"\xa5" * size
            assert one.fetch(buffer.iova, size)
            assert one.store(buffer.iova + 2048, size)
            assert bytes(buffer)[2048 : 2048 + size] == b"\xa5" * size
            one.stop()
        buffer.close()


@check(Group.SHARING, Ability.SHARING)
def a_closed_device_has_nothing_to_share(subject: Subject) -> None:
    """Joining a closed device raises Closed, and leaves the other free."""
    assert subject.other is not None
    first = subject.open()
    first.close()
    raises(Closed, lambda: subject.opener(subject.other, share_dma_with=first))
    with subject.opener(subject.other):
        pass


@check(Group.SHARING, Ability.SHARING, Ability.DMA)
def closing_both_leaves_nothing_behind(subject: Subject) -> None:
    """In either order all is given back."""
    for order in (0, 1):
        with leaves_nothing("two devices that share"):
            devices = open_both(subject)
            devices[0].dma.alloc(4096)
            devices[order].close()
            devices[1 - order].close()


@check(Group.SHARING, Ability.SHARING, Ability.DMA)
def a_forked_child_takes_nothing_from_either(subject: Subject) -> None:
    """A child that closes both leaves the parent's memory mapped for both."""
    with _both(subject) as (one, other):
        buffer = one.alloc(4096)

        def child() -> None:
            one.device.close()
            other.device.close()

        in_forked_child(child)
        size = one.unit
        for number, exerciser in enumerate((other, one), start=1):
            with memoryview(buffer) as view:
                view[:size] = bytes([number]) * size
            assert exerciser.fetch(buffer.iova, size)
            assert exerciser.store(buffer.iova + 2048, size)
            assert bytes(buffer)[2048 : 2048 + size] == bytes([number]) * size
            exerciser.stop()
        buffer.close()
