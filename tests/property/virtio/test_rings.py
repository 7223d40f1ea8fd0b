"""The virtqueue engine against a device ring that was written from the specification.

Examples start just before the 16-bit index of a split ring wraps, so that wraps are always among
the cases; packed rings wrap all the time.
"""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pymmio.errors import BadArgument, ProtocolError
from pymmio.models.virtio.ring import Chain, Ring
from pymmio.virtio.queue.engine import Piece
from tests.property.virtio.rig import FORMATS, ODD, Format, Rig, pieces

NEAR_WRAP = (1 << 16) - 6


@cache
def primed(form: Format) -> tuple[Rig, tuple[bytes, bytes, Ring]]:
    """Return a rig just before its index wraps, and its state."""
    rig = Rig(form)
    rig.run(near_wrap(form))
    return rig, rig.save()


def near_wrap(form: Format) -> int:
    """Return how many buffers go through before: moving 2**16 takes seconds."""
    return NEAR_WRAP if form.size == 4 and not form.is_packed else form.size + 1


piece = st.builds(Piece, st.integers(0, 2**64 - 1), st.integers(1, 2**32 - 1))
few = st.lists(st.builds(Piece, st.integers(0, 2**64 - 1), st.integers(1, 2**20)), max_size=5)


class RingMachine(RuleBasedStateMachine):
    """Driver and device take turns; a list of what each must have is the judge."""

    @initialize(form=st.sampled_from(FORMATS + ODD), is_primed=st.booleans())
    def start(self, form: Format, is_primed: bool) -> None:
        rig, saved = primed(form)
        rig.restore(saved)
        if not is_primed:
            rig.memory.bytes[:] = bytes(len(rig.memory.bytes))
            rig.engine.clear()
            rig.device = rig._new_device()
        rig.engine.interrupts(True)
        rig.device.want_notifications(True)
        self.rig = rig
        self.form = form
        self.with_driver: dict[int, tuple[object, int]] = {}  # made available, not yet popped
        self.order: list[int] = []
        self.unkicked = 0
        self.with_device: dict[int, tuple[Chain, int]] = {}
        self.returned: list[tuple[int, int]] = []
        self.wants_interrupts = True
        self.wants_notifications = True
        self.is_idle_told = True  # the device looked, found nothing, and wants to be told
        self.is_reaped = True  # the driver looked, found nothing, and wants an interrupt
        self.rig.notified()

    @rule(readable=few, writable=few)
    def add(self, readable: list[Piece], writable: list[Piece]) -> None:
        count = len(readable) + len(writable)
        limit = max(self.form.size, 4 if self.form.has_indirect else 0)
        if count == 0 or count > limit:
            with pytest.raises(BadArgument):
                self.rig.engine.add(readable, writable)
            return
        needs = 1 if self.form.has_indirect and 1 < count <= 4 else count
        space = self.rig.engine.space()
        buffer_id = self.rig.engine.add(readable, writable)
        assert (buffer_id is None) == (needs > space)
        if buffer_id is not None:
            assert buffer_id not in self.with_driver
            assert buffer_id not in self.with_device
            seen = (tuple(map(tuple, readable)), tuple(map(tuple, writable)))
            self.with_driver[buffer_id] = (seen, sum(size for _, size in writable))
            self.order.append(buffer_id)
            self.unkicked += 1

    @rule(force=st.booleans())
    def kick(self, force: bool) -> None:
        waiting = self.unkicked and self.order and self.is_idle_told
        self.unkicked = 0
        was_rung = self.rig.engine.kick(force=force)
        assert self.rig.notified() == (5 if was_rung else None)
        if force or waiting:
            assert was_rung, "the device waits for a notification that does not come"
        self.is_idle_told = self.is_idle_told and not was_rung

    @rule()
    def pop(self) -> None:
        chain = self.rig.device.pop()
        if not self.order:
            assert chain is None
            self.is_idle_told = self.wants_notifications
            return
        assert chain is not None
        buffer_id = self.order.pop(0)
        expected, writable = self.with_driver.pop(buffer_id)
        assert chain.id == buffer_id
        assert pieces(chain) == expected
        self.with_device[buffer_id] = (chain, writable)
        self.is_idle_told = self.is_idle_told and not self.form.has_event_idx

    @precondition(lambda self: self.with_device)
    @rule(data=st.data())
    def push(self, data: st.DataObject) -> None:
        buffer_id = data.draw(st.sampled_from(sorted(self.with_device)))
        chain, writable = self.with_device.pop(buffer_id)
        written = data.draw(st.integers(0, writable))
        self.rig.device.push(chain, written)
        self.returned.append((buffer_id, written))
        if self.rig.device.should_interrupt():
            assert self.wants_interrupts or self.form.has_event_idx
        else:
            assert not (self.is_reaped and self.wants_interrupts), "an interrupt is missing"
        self.is_reaped = False

    @rule()
    def reap(self) -> None:
        used, error = self.rig.engine.reap()
        assert error is None
        assert used == self.returned[: len(used)]
        assert len(used) == len(self.returned)
        self.returned.clear()
        self.is_reaped = True

    @rule(wanted=st.booleans())
    def interrupts(self, wanted: bool) -> None:
        is_there = self.rig.engine.interrupts(wanted)
        assert is_there == bool(self.returned)
        self.wants_interrupts = wanted
        self.is_reaped = not is_there

    @rule(wanted=st.booleans())
    def notifications(self, wanted: bool) -> None:
        self.rig.device.want_notifications(wanted)
        self.wants_notifications = wanted
        self.is_idle_told = wanted and not self.order

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "rig"):
            out = len(self.with_driver) + len(self.with_device) + len(self.returned)
            assert self.rig.engine.outstanding() == out
            assert self.rig.engine.wait(self.rig.engine.events(), 0) == bool(self.returned)


TestRings = RingMachine.TestCase


@pytest.mark.parametrize("form", FORMATS + ODD, ids=str)
def test_the_index_wraps(form: Format) -> None:
    rig, saved = primed(form)
    rig.restore(saved)
    rig.run(20)
    available, used = rig.engine.position()
    assert available == used
    if not form.is_packed:
        assert available == (near_wrap(form) + 20) % (1 << 16)


@st.composite
def damage(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """Return some bytes for random places of the ring."""
    return draw(
        st.lists(
            st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=8)),
            min_size=1,
            max_size=6,
        )
    )


class HostileMachine(RuleBasedStateMachine):
    """The device writes what it likes, everywhere: no more than ProtocolError comes of it."""

    @initialize(form=st.sampled_from(FORMATS + ODD))
    def start(self, form: Format) -> None:
        self.rig, saved = primed(form)
        self.rig.restore(saved)
        self.outstanding: set[int] = set()
        self.broken: str | None = None

    @rule(count=st.integers(1, 4))
    def add(self, count: int) -> None:
        try:
            buffer_id = self.rig.engine.add([Piece(1, 1)] * count, [])
            self.rig.engine.kick()
        except BadArgument:
            return
        except ProtocolError:
            assert self.broken
            return
        if buffer_id is not None:
            assert buffer_id not in self.outstanding
            self.outstanding.add(buffer_id)

    @rule(places=damage())
    def write_anything(self, places: list[tuple[int, bytes]]) -> None:
        memory = self.rig.memory.bytes
        for at, data in places:
            at %= len(memory)
            memory[at : at + len(data)] = data[: len(memory) - at]

    @rule(ahead=st.integers(-2, 4), buffer_id=st.integers(-1, 9), written=st.integers(0, 5))
    def claim_used(self, ahead: int, buffer_id: int, written: int) -> None:
        chain = Chain(buffer_id % (1 << 16), 1, (), ())
        for _ in range(max(ahead, 1)):
            self.rig.device.push(chain, written)

    @rule()
    def reap(self) -> None:
        used, error = self.rig.engine.reap()
        for buffer_id, written in used:
            assert buffer_id in self.outstanding
            assert written == 0, "nothing was writable"
            self.outstanding.remove(buffer_id)
        if error is not None:
            assert isinstance(error, ProtocolError)
            self.broken = str(error)
        assert self.rig.engine.outstanding() == len(self.outstanding)


TestHostileDevice = HostileMachine.TestCase
