"""Whatever goes wrong, the NVMe driver ends in time, with its own exceptions and the right data."""

from __future__ import annotations

import faulthandler
import threading
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import PymmioError
from pymmio.testing import faults
from pymmio.testing.faults import Fault, FaultPlan, nvme
from pymmio_drivers.nvme import Controller
from tests.examples import examples

HANG_S = 60.0
"""Much more than all time-outs of a run together."""
QUICK = {"timeout_s": 0.05, "admin_timeout_s": 0.1, "abort_grace_s": 0.05, "ready_timeout_s": 0.1}
BLOCK = 512
UNNOTICED = {"dma_write_wrong", "dma_write_lost", "dma_write_late", "dma_read_wrong"}
"""Data that the controller itself moved wrongly: nobody can tell without protection information."""

REGISTERS = st.sampled_from(
    [0x00, 0x04, 0x08, 0x14, 0x1C, 0x24, 0x28, 0x30, 0x1000, 0x1004, 0x1008]
)


@dataclass(frozen=True)
class Flip:
    """Changes one byte of a transfer."""

    place: int
    mask: int

    def __call__(self, data):
        changed = bytearray(data)
        if changed:
            changed[self.place % len(changed)] ^= self.mask
        return bytes(changed)


FLIPS = st.builds(Flip, st.integers(0, 4095), st.integers(1, 255))


@st.composite
def conditions(draw):
    if draw(st.booleans()):
        return {"after": draw(st.integers(0, 60)), "count": draw(st.integers(1, 3))}
    return {"probability": draw(st.sampled_from([0.01, 0.05, 0.3])), "count": None}


@st.composite
def register_faults(draw):
    make = draw(
        st.sampled_from([Fault.ones, Fault.write_lost, Fault.access_fault, Fault.reset])
        | st.just(lambda **when: Fault.reads_as(draw(st.sampled_from([0, 1])), **when))
        | st.just(lambda **when: Fault.flipped(1 << draw(st.integers(0, 31)), **when))
    )
    place = {}
    if draw(st.booleans()):
        place = {"offset": draw(REGISTERS), "length": 4}
    return make(**draw(conditions()), **place)


@st.composite
def other_faults(draw):
    make = draw(
        st.sampled_from(
            [
                Fault.irq_lost,
                Fault.irq_late,
                Fault.irq_twice,
                Fault.irq_refused,
                Fault.map_fails,
                Fault.reset_fails,
                Fault.dma_write_lost,
                Fault.dma_write_late,
                Fault.dma_write_wrong,
                Fault.dma_read_wrong,
                Fault.dma_refused,
                lambda **when: Fault.dma_write_wrong(draw(FLIPS), **when),
                lambda **when: Fault.dma_read_wrong(draw(FLIPS), **when),
                nvme.completion_lost,
                nvme.completion_late,
                lambda **when: nvme.completion_late(0.01, **when),
                lambda **when: nvme.status_changed(draw(st.integers(1, 0x7FF)), **when),
            ]
        )
    )
    return make(**draw(conditions()))


@st.composite
def removals(draw):
    reads = draw(st.sampled_from(["ones", "zeros", "fault"]))
    return Fault.removed(reads, after=draw(st.integers(0, 120)))


@st.composite
def plans(draw):
    some = draw(st.lists(register_faults() | other_faults(), min_size=1, max_size=4))
    some += draw(st.lists(removals(), max_size=1)) if draw(st.booleans()) else []
    return FaultPlan(*some, seed=draw(st.integers(0, 1000)))


class Blocks:
    """What may stand in each block: after a failed write the old and the new."""

    def __init__(self):
        self._may_be = {}

    def write(self, ns, lba, data):
        before = self._may_be.get(lba, {bytes(BLOCK)})
        self._may_be[lba] = before | {data}
        ns.write_bytes(data, lba=lba)
        self._may_be[lba] = {data}

    def read(self, ns, lba, *, is_believed):
        found = ns.read_bytes(lba=lba, blocks=1)
        if is_believed():
            assert found in self._may_be.get(lba, {bytes(BLOCK)})


def within_time(work):
    """Run ``work`` in a thread; fail, with where it stands, if it does not end."""
    errors = []

    def run():
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(HANG_S)
    if thread.is_alive():
        faulthandler.dump_traceback()
    assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


def use(ctrl, blocks, injector, number):
    ns = ctrl.namespaces[1]
    kind = number % 4
    if kind == 0:
        blocks.write(ns, number % 5, bytes([number % 251 + 1]) * BLOCK)
    elif kind == 1:
        blocks.read(ns, (number - 1) % 5, is_believed=lambda: not injector.happened(*UNNOTICED))
    elif kind == 2:
        ns.flush_async().result(10)
    else:
        with ctrl.alloc(8192) as buffer:
            ns.read(buffer, lba=0)


def run(plan, interrupts, is_armed):
    with faults.open_device("sim:nvme?size=1M", plan, armed=False) as device:
        injector = faults.faults_of(device)
        if is_armed:
            injector.on()
        blocks = Blocks()
        try:
            with Controller.open(device, interrupts=interrupts, **QUICK) as ctrl:
                injector.on()
                for number in range(12):
                    with suppress(PymmioError):  # all others are faults of the driver
                        use(ctrl, blocks, injector, number)
                injector.off()
        except PymmioError:
            pass  # opening or closing failed, with one of the driver's own exceptions
        assert device.dma.mapped_bytes == 0
        injector.clear()
        device.handle.release()
        if injector.is_removed:
            return
        if injector.happened("reset"):
            device.reset()  # whose header was lost behind everybody's back
        with Controller.open(device, interrupts=interrupts) as ctrl:  # all is well again
            ns = ctrl.namespaces[1]
            ns.write_bytes(b"alive".ljust(BLOCK), lba=9)
            assert ns.read_bytes(lba=9, blocks=1)[:5] == b"alive"
            for lba in range(5):
                blocks.read(ns, lba, is_believed=lambda: not injector.happened(*UNNOTICED))


@examples(40)
@given(plans(), st.sampled_from(["msix", "intx", None]), st.booleans())
def test_whatever_goes_wrong_ends_typed_and_in_time(plan, interrupts, is_armed):
    within_time(lambda: run(plan, interrupts, is_armed))
    assert not [t for t in threading.enumerate() if t.name.startswith("pymmio faults")]
