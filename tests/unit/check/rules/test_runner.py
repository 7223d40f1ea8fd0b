"""The runner sees each kind of fault."""

from __future__ import annotations

import pytest

from pymmio.check.rules import Cell, Preset, Seen, Source, Table, Verdict, run
from pymmio.errors import Misaligned

HEAD = "w " + " ".join(map(str, range(16)))


def rule(two="2", **options):
    table = Table(f"{HEAD}\n2 {f'{two} ' * 16}")
    cells = (Cell(0, table, table, "cell"),)
    return Preset("rule", "A rule", (Source("here", "so"),), cells, "nobody", **options)


class Device:
    """Sixteen bytes and more whose accesses are logged."""

    def __init__(self):
        self.log = []

    def take(self):
        log, self.log = self.log, []
        return log

    def read(self, offset, width, value=0x4241):
        self.log.append(Seen(offset, width, False, value))
        return value

    def write(self, offset, width, value):
        self.log.append(Seen(offset, width, True, value))


def faults(subject, preset=None, **options):
    device = Device()
    result = run(lambda *asked: subject(device, *asked), preset or rule(), device, **options)
    return {case.why for case in result.broken}


def exact(device, is_write, offset, width, value):
    return device.write(offset, width, value) if is_write else device.read(offset, width)


def test_exact_accesses_keep_the_rule():
    assert faults(exact) == set()


def test_all_offsets_are_asked_for_both_ways():
    asked = []

    def subject(is_write, offset, width, value):
        asked.append((is_write, offset, width))
        raise Misaligned("no")

    run(subject, rule(), Device(), base=0x40)
    assert asked == [(w, 0x40 + at, 2) for w in (False, True) for at in range(16)]


def test_values_differ_between_offsets_and_bytes():
    values = []

    def subject(is_write, offset, width, value):
        values.append(value)
        raise Misaligned("no")

    run(subject, rule(), Device())
    assert len(set(values)) == 16
    assert all(value >> 8 != value & 0xFF for value in values)


def test_a_split_is_seen():
    def halves(device, is_write, offset, width, value):
        for i in range(2):
            exact(device, is_write, offset + i, 1, value >> 8 * i & 0xFF)

    assert "wanted 2, saw read 1@0x0, read 1@0x1" in faults(halves)


def test_an_order_is_seen():
    def backwards(device, is_write, offset, width, value):
        if not is_write:
            return device.read(offset + 1, 1, 2) << 8 | device.read(offset, 1, 1)
        for i in (1, 0):
            device.write(offset + i, 1, value >> 8 * i & 0xFF)
        return None

    assert faults(backwards, rule("11r")) == set()
    assert "wanted 11, saw read 1@0x1, read 1@0x0" in faults(backwards, rule("11"))


def test_a_repeated_read_is_seen():
    def twice(device, is_write, offset, width, value):
        exact(device, is_write, offset, width, value)
        return exact(device, is_write, offset, width, value)

    assert "wanted 2, saw read 2@0x0, read 2@0x0" in faults(twice)


def test_a_read_before_a_write_is_seen():
    def modify(device, is_write, offset, width, value):
        device.read(offset, width)
        if is_write:
            device.write(offset, width, value)

    assert "also went the other way: read 2@0x0, write 2@0x0" in faults(modify)


def test_a_wrong_value_is_seen():
    def swapped(device, is_write, offset, width, value):
        if is_write:
            return device.write(offset, width, int.from_bytes(value.to_bytes(2, "big"), "little"))
        device.read(offset, width, 0x4241)
        return 0x4142

    found = faults(swapped)
    assert "the device saw 0x4241, the subject has 0x4142" in found
    assert len(found) > 1


def test_a_refusal_is_right_only_where_the_rule_says_so():
    def refuse(*asked):
        raise Misaligned("not so")

    assert faults(refuse, rule("-")) == faults(refuse, rule("2|-")) == set()
    (fault,) = faults(refuse)
    assert fault.startswith("refused, wanted 2 (Misaligned: not so")
    assert faults(refuse, rule("~")) != set()


def test_an_access_that_must_be_refused_is_seen():
    assert "wanted -, saw read 2@0x0" in faults(exact, rule("-"))


def test_doing_nothing_is_no_refusal():
    assert faults(lambda *asked: None, rule("-")) == {"no exception and no access, wanted -"}


def test_an_exception_after_an_access_is_no_refusal():
    def late(device, is_write, offset, width, value):
        exact(device, is_write, offset, width, value)
        raise Misaligned("late")

    assert "raised after read 2@0x0" in faults(late, rule("2|-"))


def test_open_rules_take_any_pieces_but_all_the_bytes_and_no_others():
    def more(device, is_write, offset, width, value):
        exact(device, is_write, offset, 4, value)

    def less(device, is_write, offset, width, value):
        exact(device, is_write, offset, 1, value & 0xFF)

    assert faults(exact, rule("~")) == set()
    assert "not the bytes that were asked for: read 4@0x0" in faults(more, rule("~"))
    assert "not the bytes that were asked for: read 1@0x0" in faults(less, rule("~"))


def test_a_bug_of_the_subject_is_not_a_refusal():
    def bug(*asked):
        raise TypeError("bug")

    with pytest.raises(TypeError):
        faults(bug, rule("-"))


def test_what_was_not_asked_is_not_kept():
    result = run(lambda *asked: None, rule(), Device(), widths=(4,))
    assert result.cases == ()
    assert result.verdict is Verdict.BROKEN
