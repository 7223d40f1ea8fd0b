"""Plans: what they say, when their faults happen, what is remembered."""

from __future__ import annotations

import re

import pytest

from pymmio.errors import BadArgument
from pymmio.handle import IrqKind
from pymmio.testing.faults import Event, EventKind, Fault, FaultPlan, Injector, nvme
from pymmio.testing.faults.nvme import Completions, Status


def read(offset=0, *, region=0, width=4, value=0):
    return Event(EventKind.READ, region, offset, width, value)


def fired(plan, events):
    """The numbers of the events that something goes wrong with."""
    injector = Injector(plan)
    return [number for number, event in enumerate(events) if injector.decide(event)]


NAMES = {
    "Completions": Completions,
    "Fault": Fault,
    "FaultPlan": FaultPlan,
    "IrqKind": IrqKind,
    "Status": Status,
}
REPRS = [
    "FaultPlan()",
    "FaultPlan(Fault.irq_lost())",
    "FaultPlan(Fault.ones(after=3, offset=0x1c), seed=7)",
    "FaultPlan(Fault.ones(count=None), Fault.map_fails(after=2))",
    "FaultPlan(Fault.reads_as(region=7, offset=0x4, value=0x0))",
    "FaultPlan(Fault.flipped(probability=0.25, mask=0x80000000))",
    "FaultPlan(Fault.irq_late(irq=IrqKind.MSIX, vector=1, delay_s=0.5))",
    "FaultPlan(Fault.irq_late(), Fault.dma_write_late(delay_s=0.0))",
    "FaultPlan(Fault.removed(reads='zeros'), Fault.reset(after=10), Fault.reset_fails())",
    "FaultPlan(Fault.dma_write_wrong(when=Completions(qid=1, also=None), "
    "change=Status(status=641), count=1))",
]


@pytest.mark.parametrize("text", REPRS)
def test_the_text_of_a_plan_makes_the_same_plan(text):
    plan = eval(text, NAMES)
    assert repr(plan) == text
    assert eval(repr(plan), NAMES) == plan
    assert hash(eval(repr(plan), NAMES)) == hash(plan)


def test_a_fault_happens_once_unless_it_is_told_otherwise():
    events = [read()] * 6
    assert fired(FaultPlan(Fault.ones()), events) == [0]
    assert fired(FaultPlan(Fault.ones(after=2, count=2)), events) == [2, 3]
    assert fired(FaultPlan(Fault.ones(count=None)), events) == [0, 1, 2, 3, 4, 5]
    assert fired(FaultPlan(Fault.ones(when=lambda event: True)), events) == [0, 1, 2, 3, 4, 5]
    assert fired(FaultPlan(Fault.ones(when=lambda event: True, count=2)), events) == [0, 1]


def test_only_events_of_the_kind_and_place_count():
    fault = Fault.ones(offset=0x10, length=8, after=1, count=None)
    events = [
        read(0x10),
        read(0x0C),
        read(0x18),
        Event(EventKind.WRITE, 0, 0x10, 4),
        read(0x14),
        read(0x0E, width=4),
        read(0x17, width=1),
    ]
    assert fired(FaultPlan(fault), events) == [4, 5, 6]


def test_configuration_space_is_meant_only_where_it_is_named():
    events = [read(region=7), read(region=6), read(region=0)]
    assert fired(FaultPlan(Fault.ones(count=None)), events) == [1, 2]
    assert fired(FaultPlan(Fault.ones(region=7)), events) == [0]


def test_interrupts_are_chosen_by_kind_and_vector():
    events = [
        Event(EventKind.IRQ, irq=kind, vector=vector)
        for kind in (IrqKind.MSI, IrqKind.MSIX)
        for vector in (0, 1)
    ]
    assert fired(FaultPlan(Fault.irq_lost(count=None)), events) == [0, 1, 2, 3]
    assert fired(FaultPlan(Fault.irq_lost(irq=IrqKind.MSIX)), events) == [2]
    assert fired(FaultPlan(Fault.irq_lost(vector=1, count=None)), events) == [1, 3]


def test_a_seed_brings_the_same_faults_again():
    events = [read()] * 200
    plan = FaultPlan(Fault.ones(probability=0.2), seed=7)
    first = fired(plan, events)
    assert first == fired(plan, events)
    assert 10 < len(first) < 80
    assert first != fired(FaultPlan(Fault.ones(probability=0.2), seed=8), events)


def test_the_faults_of_a_plan_do_not_change_each_other_s_luck():
    events = [read()] * 100
    lonely = FaultPlan(Fault.ones(probability=0.2), seed=7)
    injector = Injector(
        FaultPlan(Fault.ones(probability=0.2), Fault.flipped(1, probability=0.5), seed=7)
    )
    both = [
        number
        for number, event in enumerate(events)
        if any(one.fault.what == "ones" for one in injector.decide(event))
    ]
    assert both == fired(lonely, events)


def test_the_log_has_what_was_spoiled_in_order():
    injector = Injector(FaultPlan(Fault.ones(offset=4), Fault.irq_lost()))
    injector.decide(read(4, value=5))
    injector.decide(read(4))
    injector.decide(Event(EventKind.IRQ, irq=IrqKind.MSI))
    assert [one.fault.what for one in injector.happened()] == ["ones", "irq_lost"]
    assert [one.event.value for one in injector.happened("ones")] == [5]
    assert injector.text().splitlines() == [
        "0: Fault.ones(offset=0x4) at read of 4 bytes at 0x4 of region 0: 0x5",
        "1: Fault.irq_lost() at irq msi 0",
    ]


def test_nothing_happens_while_it_is_off_and_nothing_is_counted():
    injector = Injector(FaultPlan(Fault.ones(after=1)), armed=False)
    assert not injector.decide(read())
    injector.on()
    assert not injector.decide(read())
    assert injector.decide(read())
    injector.off()
    injector.add(Fault.ones())
    assert not injector.decide(read())
    injector.on()
    assert injector.decide(read())
    injector.add(Fault.ones())
    injector.clear()
    assert not injector.decide(read())


def test_a_condition_that_watches_sees_everything_also_while_nothing_is_injected():
    injector = Injector(FaultPlan(nvme.completion_lost(1)), armed=False)
    injector.observe(Event(EventKind.MODEL_WRITE, 0, 0x24, 4, 0x001F_001F))  # AQA
    injector.observe(Event(EventKind.MODEL_WRITE, 0, 0x28, 8, 0x10000))  # ASQ
    injector.observe(Event(EventKind.MODEL_WRITE, 0, 0x30, 4, 0x20000))  # ACQ, low half
    create = bytearray(64)
    create[0] = 0x05  # Create I/O Completion Queue: queue 1, 8 entries at 30000h
    create[24:32] = (0x30000).to_bytes(8, "little")
    create[40:44] = (1 | 7 << 16).to_bytes(4, "little")
    injector.decide(Event(EventKind.DMA_READ, iova=0x10040, data=bytes(create)))
    injector.on()

    def written(iova, size=4):
        event = Event(EventKind.DMA_WRITE, iova=iova, data=bytes(size))
        return bool(injector.decide(event))

    assert not written(0x2000C)  # the admin queue
    assert not written(0x30000, 16)  # an entry with the old phase tag
    assert not written(0x3008C)  # behind the queue
    assert written(0x3007C)
    assert not written(0x3007C)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fault.ones(probability=0),
        lambda: Fault.ones(probability=1.5),
        lambda: Fault.ones(count=0),
        lambda: Fault.ones(after=-1),
        lambda: Fault.ones(offset=0, length=0),
        lambda: Fault.irq_late(-1.0),
        lambda: Fault.removed("twos"),
        lambda: nvme.completion_lost(when=5),
    ],
)
def test_faults_that_make_no_sense_are_refused(make):
    with pytest.raises(BadArgument):
        make()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Fault.ones(offset="CSTS"), "offset='CSTS'. Give a whole number"),
        (lambda: Fault.ones(count=1.5), "count=1.5"),
        (lambda: Fault.ones(length=None), "length=None"),
        (lambda: Fault.reads_as("0"), "value='0'"),
        (lambda: Fault.irq_late("soon"), "delay_s='soon'. Give a number"),
        (lambda: Fault.irq_lost(irq="msix"), "irq='msix'. Give an IrqKind"),
        (lambda: Fault.ones(when=True), "when=True. Give a function of an Event"),
        (lambda: Fault.dma_read_wrong(b"\xff"), "change="),
        (lambda: Fault.reads_as(None), "value=None. Give a whole number"),
        (lambda: Fault.flipped(None), "mask=None"),
        (lambda: Fault.reset_late(None), "delay_s=None. Give a number"),
        (lambda: FaultPlan("ones"), "'ones' is no Fault"),
        (lambda: FaultPlan(Fault.ones), "is no Fault"),
    ],
)
def test_wrong_kinds_of_arguments_are_refused_where_they_are_given(make, said):
    with pytest.raises(BadArgument, match=re.escape(said)):
        make()


def test_events_tell_what_they_are():
    assert [
        str(event)
        for event in (
            Event(EventKind.MAP, iova=0x1000, size=0x2000),
            Event(EventKind.RESET),
            Event(EventKind.ENABLE, irq=IrqKind.MSI, size=3),
            Event(EventKind.DMA_WRITE, iova=0x10, data=b"abc"),
        )
    ] == [
        "map of 0x2000 bytes at iova 0x1000",
        "reset",
        "enable 3 msi",
        "dma write of 3 bytes at iova 0x10",
    ]
