"""Access rules, as far as values show them: order of bytes, pieces, what is refused."""

from __future__ import annotations

from pymmio.errors import Misaligned, OutOfBounds, Unsupported, WidthRefused
from pymmio.mmio import AccessRule, Order, Violation
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject

_SOME = frozenset
_VALUE = 0x8877665544332211


@check(Group.RULES)
def big_endian_rules_turn_numbers_around(subject: Subject) -> None:
    """The same bytes are another number under a big-endian rule, for reads and writes."""
    with subject.exerciser() as exerciser:
        for echo in exerciser.echoes:
            little = exerciser.device.region(echo.region)
            big = exerciser.device.region(echo.region, rule=AccessRule(byteorder="big"))
            little.write(echo.offset, echo.width, _VALUE & echo.mask)
            straight = little.read(echo.offset, echo.width)
            turned = big.read(echo.offset, echo.width)
            assert turned.to_bytes(echo.width, "big") == straight.to_bytes(echo.width, "little")
            value = (0x1122334455667788 & echo.mask).to_bytes(echo.width, "little")
            big.write(echo.offset, echo.width, int.from_bytes(value, "big"))
            seen = little.read(echo.offset, echo.width) & echo.mask
            assert seen == echo.shows(int.from_bytes(value, "little")), hex(seen)


@check(Group.RULES)
def widths_that_a_rule_leaves_out_are_refused(subject: Subject) -> None:
    """A rule refuses the widths that it does not name, and lets the others through."""
    with subject.exerciser() as exerciser:
        for echo in exerciser.echoes:
            only = AccessRule(widths=_SOME({echo.width}))
            region = exerciser.device.region(echo.region, rule=only)
            exerciser.echo(echo, _VALUE, region=region)
            for width in {1, 2, 4, 8} - {echo.width}:
                raises(WidthRefused, lambda r=region, w=width: r.read(0, w))  # type: ignore[misc]
                raises(WidthRefused, lambda r=region, w=width: r.write(0, w, 0))  # type: ignore[misc]


@check(Group.RULES)
def widths_that_the_device_lacks_need_a_way(subject: Subject) -> None:
    """Where the device takes other widths only, an access raises unless the rule splits it."""
    with subject.exerciser() as exerciser:
        region = exerciser.device.region(
            exerciser.fixed[0].region, rule=AccessRule(device_widths=_SOME({4}))
        )
        raises(WidthRefused, lambda: region.read64(0))
        raises(WidthRefused, lambda: region.read16(0))
        assert region.read64(0, order=Order.LOW_FIRST) & 0xFFFF_FFFF == region.read32(0)


@check(Group.RULES)
def halves_of_64_bits_keep_their_places(subject: Subject) -> None:
    """In either order the low half is the low address."""
    with subject.exerciser() as exerciser:
        index = exerciser.fixed[0].region
        words = exerciser.device.region(index)
        expected = words.read32(0) | words.read32(4) << 32
        for order in Order:
            rule = AccessRule(device_widths=_SOME({4}), order64=order)
            assert exerciser.device.region(index, rule=rule).read64(0) == expected, order
            assert words.read64(0, order=order) == expected, order


@check(Group.RULES, Ability.SCRATCH)
def split_accesses_are_the_same_bytes(subject: Subject) -> None:
    """A misaligned or split access reads and writes the bytes at its address."""
    with subject.exerciser() as exerciser:
        for index in exerciser.scratch:
            plain = exerciser.device.region(index)
            for otherwise in (Violation.SPLIT, Violation.BYTES):
                rule = AccessRule(aligned=False, otherwise=otherwise)
                region = exerciser.device.region(index, rule=rule)
                for width in (2, 4, 8):
                    for offset in range(0x40, 0x48):
                        plain.write_block(0x40, b"\x99" * 24, width=8)
                        value = _VALUE & ((1 << 8 * width) - 1)
                        region.write(offset, width, value)
                        expected = bytearray(b"\x99" * 24)
                        at = offset - 0x40
                        expected[at : at + width] = value.to_bytes(width, "little")
                        seen = plain.read_block(0x40, 24, width=1)
                        assert seen == expected, (otherwise, width, hex(offset), seen.hex())
                        assert region.read(offset, width) == value, (otherwise, width, offset)


@check(Group.RULES, Ability.SCRATCH)
def split_accesses_end_at_the_bounds(subject: Subject) -> None:
    """A misaligned access across the end is refused, not cut."""
    with subject.exerciser() as exerciser:
        rule = AccessRule(aligned=False, otherwise=Violation.BYTES)
        for index in exerciser.scratch:
            region = exerciser.device.region(index, rule=rule)
            before = region.read64(region.size - 8)
            for beyond in range(1, 8):
                at = region.size - 8 + beyond
                raises(OutOfBounds, lambda r=region, a=at: r.write64(a, 0))  # type: ignore[misc]
            assert region.read64(region.size - 8) == before


@check(Group.RULES)
def windows_have_rules_of_their_own(subject: Subject) -> None:
    """A window may have another rule than the whole, and the whole keeps its own."""
    with subject.exerciser() as exerciser:
        fixed = exerciser.fixed[0]
        bar = exerciser.device.region(fixed.region)
        narrow = bar.window(0, 8, rule=AccessRule(widths=_SOME({4})))
        assert narrow.read32(fixed.offset & 4) & 0xFF == bar.read32(fixed.offset & 4) & 0xFF
        raises(WidthRefused, lambda: narrow.read8(0))
        turned = bar.window(0, 8, rule=AccessRule(byteorder="big")).read32(fixed.offset & 4)
        value = bar.read32(fixed.offset & 4)
        assert turned == int.from_bytes(value.to_bytes(4, "little"), "big")
        assert bar.rule != narrow.rule


@check(Group.RULES)
def reads_with_side_effects_are_not_made_unasked(subject: Subject) -> None:
    """A rule that says that reads change something refuses to flush by reading."""
    with subject.exerciser() as exerciser:
        rule = AccessRule(read_side_effects=True)
        region = exerciser.device.region(exerciser.fixed[0].region, rule=rule)
        raises(Unsupported, region.flush_writes)
        exerciser.prove()


@check(Group.RULES)
def alignment_is_of_the_region_not_of_the_window(subject: Subject) -> None:
    """What is aligned in a window is aligned for the device: windows start at multiples of 8."""
    with subject.exerciser() as exerciser:
        bar = exerciser.device.region(exerciser.fixed[0].region)
        for start in (1, 2, 4, 12):
            raises(Misaligned, lambda s=start: bar.window(s, 8))  # type: ignore[misc]
        window = bar.window(8, 16)
        raises(Misaligned, lambda: window.read32(2))
