"""Access rules, as the device saw them: which accesses arrived, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller

from pymmio.errors import (
    DeviceTimeout,
    Misaligned,
    OutOfBounds,
    Unsupported,
    ValueOutOfRange,
    WidthRefused,
)
from pymmio.handle import CONFIG_REGION
from pymmio.mmio import AccessRule, Order, Region, Violation
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.devices.recorder import (
    RECORDED,
    Arrived,
    RecorderExerciser,
    first_byte,
)
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject
from pymmio.trace import RingSink

_VALUE = 0x8877665544332211
_NO_64 = frozenset({1, 2, 4})


def _first(offset: int, width: int) -> int:
    return int.from_bytes(bytes(first_byte(offset + i) for i in range(width)), "little")


def _read(offset: int, width: int) -> Arrived:
    """What a read of untouched memory is in the log."""
    return Arrived("read", offset, width, _first(offset, width))


def _seen(
    subject: Subject, rule: AccessRule | None, do: Callable[[Region], object]
) -> tuple[object, list[Arrived]]:
    """Return what ``do`` returned and which accesses arrived."""
    with subject.exerciser() as exerciser:
        assert isinstance(exerciser, RecorderExerciser)
        region = exerciser.device.region(RECORDED, rule=rule)
        exerciser.forget()
        result = do(region)
        return result, exerciser.arrived()


def _expect(
    subject: Subject,
    rule: AccessRule | None,
    do: Callable[[Region], object],
    *expected: Arrived,
) -> object:
    result, arrived = _seen(subject, rule, do)
    assert arrived == list(expected), f"arrived: {arrived}; expected: {list(expected)}"
    return result


@check(Group.RULES, Ability.RECORD)
def a_read_is_one_read(subject: Subject) -> None:
    """Each read is exactly one access, of its offset and width, and returns what it got."""
    for width in (1, 2, 4, 8):
        for offset in (0, 0x38, 0xFF8, 0x1000):
            value = _expect(
                subject, None, methodcaller("read", offset, width), _read(offset, width)
            )  # fmt: skip
            assert value == _first(offset, width), (offset, width, value)


@check(Group.RULES, Ability.RECORD)
def a_write_is_one_write(subject: Subject) -> None:
    """Each write is exactly one access, of its offset, width and value."""
    for width in (1, 2, 4, 8):
        for offset in (0, 0x38, 0xFF8, 0x1000):
            value = _VALUE & ((1 << 8 * width) - 1)
            _expect(
                subject,
                None,
                methodcaller("write", offset, width, value),
                Arrived("write", offset, width, value),
            )


@check(Group.RULES, Ability.RECORD)
def accesses_arrive_in_their_order(subject: Subject) -> None:
    """Reads and writes of one device arrive in the order of the program."""

    def do(region: Region) -> None:
        for number in range(64):
            region.write32(4 * number, number)
            if number % 8 == 7:
                region.read32(4 * number)

    _, arrived = _seen(subject, None, do)
    expected = []
    for number in range(64):
        expected.append(Arrived("write", 4 * number, 4, number))
        if number % 8 == 7:
            expected.append(Arrived("read", 4 * number, 4, number))
    assert arrived == expected, f"{arrived[:12]} ..."


@check(Group.RULES, Ability.RECORD)
def refused_accesses_do_not_arrive(subject: Subject) -> None:
    """Whatever raises before the access reaches the device not at all."""

    def do(region: Region) -> None:
        raises(Misaligned, lambda: region.read32(2))
        raises(Misaligned, lambda: region.write64(4, 0))
        raises(OutOfBounds, lambda: region.read8(region.size))
        raises(OutOfBounds, lambda: region.write32(-4, 0))
        raises(ValueOutOfRange, lambda: region.write16(0, 1 << 16))
        raises(WidthRefused, lambda: region.read(0, 3))
        raises(Unsupported, region.view)
        raises(OutOfBounds, lambda: region.read_block(0, region.size + 8, width=8))
        raises(Misaligned, lambda: region.write_block(1, b"ab", width=2))

    _expect(subject, None, do)


@check(Group.RULES, Ability.RECORD)
def halves_arrive_in_the_order_of_the_rule(subject: Subject) -> None:
    """Where 64 bits must be two accesses, the rule's half goes first, for reads and writes."""
    low, high = _VALUE & 0xFFFF_FFFF, _VALUE >> 32
    for order in Order:
        rule = AccessRule(device_widths=_NO_64, order64=order)
        writes = [Arrived("write", 0x40, 4, low), Arrived("write", 0x44, 4, high)]
        reads = [_read(0x40, 4), _read(0x44, 4)]
        if order is Order.HIGH_FIRST:
            writes.reverse()
            reads.reverse()
        _expect(subject, rule, lambda r: r.write64(0x40, _VALUE), *writes)
        assert _expect(subject, rule, lambda r: r.read64(0x40), *reads) == _first(0x40, 8)
        _expect(subject, None, methodcaller("write64", 0x40, _VALUE, order=order), *writes)
        _expect(subject, None, methodcaller("read64", 0x40, order=order), *reads)


@check(Group.RULES, Ability.RECORD)
def misaligned_accesses_arrive_as_aligned_pieces(subject: Subject) -> None:
    """SPLIT makes naturally aligned pieces, each as wide as possible, low address first."""
    rule = AccessRule(aligned=False, otherwise=Violation.SPLIT)
    pieces = {
        (0x42, 4): [(0x42, 2), (0x44, 2)],
        (0x41, 4): [(0x41, 1), (0x42, 2), (0x44, 1)],
        (0x41, 8): [(0x41, 1), (0x42, 2), (0x44, 4), (0x48, 1)],
        (0x44, 8): [(0x44, 4), (0x48, 4)],
        (0x47, 2): [(0x47, 1), (0x48, 1)],
    }
    for (offset, width), expected in pieces.items():
        value = _expect(
            subject,
            rule,
            methodcaller("read", offset, width),
            *(_read(at, piece) for at, piece in expected),
        )
        assert value == _first(offset, width), hex(offset)
        data = _VALUE & ((1 << 8 * width) - 1)
        _expect(
            subject,
            rule,
            methodcaller("write", offset, width, data),
            *(
                Arrived("write", at, piece, data >> 8 * (at - offset) & ((1 << 8 * piece) - 1))
                for at, piece in expected
            ),
        )


@check(Group.RULES, Ability.RECORD)
def bytes_arrive_low_address_first(subject: Subject) -> None:
    """BYTES makes single bytes, low address first."""
    rule = AccessRule(device_widths=frozenset({1}), otherwise=Violation.BYTES)
    _expect(
        subject,
        rule,
        lambda r: r.write32(0x40, 0x44332211),
        *(Arrived("write", 0x40 + i, 1, 0x11 * (i + 1)) for i in range(4)),
    )
    value = _expect(
        subject, rule, lambda r: r.read64(0x40), *(_read(0x40 + i, 1) for i in range(8))
    )
    assert value == _first(0x40, 8)


@check(Group.RULES, Ability.RECORD)
def big_endian_rules_turn_bytes_around_on_the_bus(subject: Subject) -> None:
    """Under a big-endian rule the highest byte of the number lies at the lowest address."""
    rule = AccessRule(byteorder="big")
    _expect(
        subject,
        rule,
        lambda r: r.write32(0x40, 0x11223344),
        Arrived("write", 0x40, 4, 0x44332211),
    )
    split = AccessRule(byteorder="big", device_widths=frozenset({4}), order64=Order.LOW_FIRST)
    _expect(
        subject,
        split,
        lambda r: r.write64(0x40, 0x1122334455667788),
        Arrived("write", 0x40, 4, 0x44332211),
        Arrived("write", 0x44, 4, 0x88776655),
    )


@check(Group.RULES, Ability.RECORD)
def blocks_arrive_in_their_width_low_address_first(subject: Subject) -> None:
    """A block is accesses of the width that was asked for, in order of address."""
    data = bytes(range(32))
    for width in (1, 2, 4, 8):
        _expect(
            subject,
            None,
            methodcaller("write_block", 0x40, data, width=width),
            *(
                Arrived("write", 0x40 + at, width, int.from_bytes(data[at : at + width], "little"))
                for at in range(0, 32, width)
            ),
        )
        seen = _expect(
            subject,
            None,
            methodcaller("read_block", 0x40, 32, width=width),
            *(_read(0x40 + at, width) for at in range(0, 32, width)),
        )
        assert seen == bytes(first_byte(0x40 + i) for i in range(32))


@check(Group.RULES, Ability.RECORD)
def combined_writes_arrive_each_byte_once(subject: Subject) -> None:
    """write_combined brings each byte once, low addresses first, and nothing beside."""
    data = bytes(range(64))
    _, arrived = _seen(subject, None, lambda r: r.write_combined(0x40, data))
    at = 0x40
    for access in arrived:
        assert (access.kind, access.offset) == ("write", at), arrived
        part = data[at - 0x40 : at - 0x40 + access.width]
        assert access.value == int.from_bytes(part, "little"), arrived
        at += access.width
    assert at == 0x40 + len(data), arrived


@check(Group.RULES, Ability.RECORD)
def polls_read_at_least_once_and_nothing_else(subject: Subject) -> None:
    """A wait makes reads of its width at its offset; one that is satisfied at once makes one."""
    value = _first(0x40, 4)
    _expect(
        subject,
        None,
        lambda r: r.wait32(0x40, mask=0xFFFF_FFFF, value=value, timeout_s=0),
        _read(0x40, 4),
    )

    def wait(region: Region) -> None:
        raises(
            DeviceTimeout,
            lambda: region.wait16(0x40, mask=0xFFFF, value=~value & 0xFFFF, timeout_s=0.02),
        )

    _, arrived = _seen(subject, None, wait)
    assert arrived, "a wait did not read at all"
    assert set(arrived) == {_read(0x40, 2)}, set(arrived)


@check(Group.RULES, Ability.RECORD)
def windows_move_accesses_and_nothing_else(subject: Subject) -> None:
    """An access of a window is one access at the window's place."""
    _expect(
        subject,
        None,
        lambda r: r.window(0x100, 0x40).window(0x20, 8).write16(2, 0x1234),
        Arrived("write", 0x122, 2, 0x1234),
    )


@check(Group.RULES, Ability.RECORD)
def doorbells_are_one_write(subject: Subject) -> None:
    """A doorbell makes one write of 32 bits each time that it is rung."""

    def ring(region: Region) -> None:
        doorbell = region.doorbell(0x80)
        doorbell.ring(7)
        doorbell.ring(8)

    _expect(subject, None, ring, Arrived("write", 0x80, 4, 7), Arrived("write", 0x80, 4, 8))


@check(Group.RULES, Ability.RECORD)
def configuration_space_is_not_the_memory(subject: Subject) -> None:
    """Reading configuration space, and opening and closing windows, touch no memory."""

    def do(region: Region) -> None:
        region.window(0, 8).close()
        repr(region)

    _expect(subject, None, do)
    with subject.exerciser() as exerciser:
        assert isinstance(exerciser, RecorderExerciser)
        exerciser.device.region(RECORDED)
        exerciser.forget()
        exerciser.device.region(CONFIG_REGION).read_block(0, 64, width=4)
        assert exerciser.device.config.capabilities() is not None
        assert exerciser.arrived() == []


@check(Group.TRACING, Ability.RECORD)
def tracing_does_not_change_what_arrives(subject: Subject) -> None:
    """A traced device makes the same accesses as one that is not."""

    def do(region: Region) -> None:
        region.write32(0x10, 1)
        region.read64(0x10)
        region.write64(0x20, _VALUE, order=Order.HIGH_FIRST)
        region.read_block(0x30, 16, width=4)
        region.write_block(0x40, b"abcdefgh", width=2)
        region.window(0x50, 16).read8(3)
        region.doorbell(0x60).ring(9)
        raises(Misaligned, lambda: region.read16(1))

    logs = []
    for sink in (None, RingSink()):
        with subject.exerciser(trace=sink) as exerciser:
            assert isinstance(exerciser, RecorderExerciser)
            region = exerciser.device.region(RECORDED)
            exerciser.forget()
            do(region)
            logs.append(exerciser.arrived())
    assert logs[0] == logs[1], f"plain: {logs[0]}; traced: {logs[1]}"
    assert logs[0]
