"""Random schedules of writes, flushes and power cuts: what was flushed is there."""

from __future__ import annotations

from hypothesis import find, given
from hypothesis import strategies as st

from pymmio.models.virtio.pmem import CACHE_LINE, VirtioPmemModel
from pymmio.testing import open_model
from pymmio_drivers.virtio_pmem import VirtioPmem
from tests.examples import examples

SIZE = 4096
LINES = SIZE // CACHE_LINE

writes = st.tuples(st.just("write"), st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=200))
flushes = st.tuples(st.just("flush"), st.just(0), st.just(b""))
cuts = st.tuples(st.just("cut"), st.integers(0, 2**LINES - 1), st.just(b""))
schedules = st.lists(st.one_of(writes, writes, flushes, cuts), min_size=1, max_size=20)


def run(schedule: list[tuple[str, int, bytes]], skipped_flush: int | None = None) -> bool:
    """Run a schedule; return whether every byte has a value that it may have after it.

    A byte may have its flushed value or any that was written since.  ``skipped_flush`` makes a
    driver that forgets the flush with that number.
    """
    model = VirtioPmemModel(size=SIZE)
    durable, current = bytearray(SIZE), bytearray(SIZE)
    since: dict[int, set[int]] = {}  # what each byte was written to since the last flush
    flushed = 0
    with VirtioPmem.open(open_model(model), interrupts=False) as pmem:
        for kind, number, data in [*schedule, ("cut", 0, b"")]:
            if kind == "write":
                data = data[: SIZE - number]
                pmem.write(number, data)
                current[number : number + len(data)] = data
                for at, value in enumerate(data, number):
                    since.setdefault(at, set()).add(value)
            elif kind == "flush":
                if flushed != skipped_flush:
                    pmem.flush()
                flushed += 1
                durable[:] = current
                since.clear()
            else:
                keep = [line for line in model.unflushed() if number >> line // CACHE_LINE & 1]
                model.cut_power(keep)
                seen = pmem.read(0, SIZE)
                for at, values in since.items():
                    if seen[at] in values:
                        durable[at] = seen[at]
                if seen != durable:
                    return False
                current[:] = seen
                since.clear()
    return True


@examples(1000)
@given(schedules)
def test_everything_flushed_is_there(schedule: list[tuple[str, int, bytes]]) -> None:
    assert run(schedule)


def test_a_driver_that_skips_one_flush_is_caught() -> None:
    cut, flush = ("cut", 0, b""), ("flush", 0, b"")
    schedule = [("write", 5, b"old"), flush, cut, ("write", 5, b"new"), flush]
    assert run(schedule)
    assert not run(schedule, skipped_flush=0)
    assert not run(schedule, skipped_flush=1)
    assert find(schedules, lambda drawn: not run(drawn, skipped_flush=0))


def test_what_is_not_flushed_may_be_lost_or_kept() -> None:
    for keep, expected in ((0, b"\0"), (1, b"x")):
        model = VirtioPmemModel(size=SIZE)
        with VirtioPmem.open(open_model(model), interrupts=False) as pmem:
            pmem.write(0, b"x")
            assert model.unflushed() == [0]
            model.cut_power([0] * keep)
            assert pmem.read(0, 1) == expected
