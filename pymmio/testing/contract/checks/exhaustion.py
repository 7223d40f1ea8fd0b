"""Opening that fails at every step for want of descriptors: each time all is undone."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pymmio.errors import PymmioError
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.footprint import descriptor_names, leaves_nothing
from pymmio.testing.contract.subject import Subject

_MOST = 200


@contextmanager
def free_descriptors(count: int) -> Iterator[None]:
    """Leave room for so many descriptors more (RLIMIT_NOFILE)."""
    used = set(descriptor_names())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = left = 0
    while left < count or limit <= 2:
        left += limit not in used
        limit += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _fail_at_each_step(what: str, do: Callable[[], object]) -> int:
    """Call ``do`` with room for 0, 1, ... descriptors until it works; return how many it took.

    Each failure must be an exception that says what happened, and leave nothing.
    """
    do()  # modules that are loaded late are loaded now
    for count in range(_MOST):
        with leaves_nothing(f"{what} with room for {count} descriptors"):
            try:
                with free_descriptors(count):
                    do()
                return count
            except PymmioError as error:
                assert error.message
            except OSError as error:
                expected = (errno.EMFILE, errno.ENFILE)
                assert error.errno in expected, f"{what}: {error!r} with room for {count}"
    raise AssertionError(f"{what} takes more than {_MOST} descriptors")


@check(Group.ERRORS)
def opening_that_fails_half_way_leaves_nothing(subject: Subject) -> None:
    """Whichever step of opening fails for want of a descriptor, the others are undone."""
    index = subject.kind.fixed[0].region

    def do() -> None:
        with subject.open() as device:
            device.region(index).read32(0)

    _fail_at_each_step("opening", do)
    with subject.exerciser() as exerciser:
        exerciser.prove()


@check(Group.ERRORS, Ability.DMA)
def allocating_that_fails_half_way_leaves_nothing(subject: Subject) -> None:
    """Whichever step of an allocation fails, nothing is mapped and the address is free again."""
    with subject.open() as device:

        def do() -> None:
            device.dma.alloc(4096).close()

        _fail_at_each_step("allocating", do)
        assert device.dma.mapped_bytes == 0
        with device.dma.alloc(4096) as buffer:
            assert bytes(buffer) == bytes(4096)


@check(Group.ERRORS, Ability.INTERRUPTS)
def enabling_that_fails_half_way_leaves_nothing(subject: Subject) -> None:
    """Whichever step of switching interrupts on fails, the kind is off, and can be switched on."""
    with subject.exerciser() as exerciser:
        kind = exerciser.kinds()[0]
        vectors = exerciser.device.irqs.of_kind(kind)
        count = min(4, len(vectors))

        def do() -> None:
            vectors.enable(count)
            vectors.disable()

        _fail_at_each_step("switching interrupts on", do)
        assert vectors.enabled == 0
        (vector, *_) = exerciser.begin(kind)
        exerciser.fire()
        assert vector.wait(timeout_s=subject.seconds(10)) >= 1
        exerciser.acknowledge()
