"""``pymmio peek`` and ``pymmio poke``: one access is one access, or none."""

from __future__ import annotations

import pytest

from tests.unit.cli.running import assert_fails, json_of, output, run


def accesses(stderr: str, region: str = "BAR0") -> list[str]:
    """Return the accesses to a region that --trace printed."""
    lines = (line.split(maxsplit=2)[2] for line in stderr.splitlines() if " sim:" in line)
    return [line for line in lines if line.startswith(f"{region}+")]


def assert_touches_nothing(arguments: tuple[str, ...], code: int, *words: str) -> None:
    """Check that the command fails with one line and makes no access to the BAR."""
    assert_fails(run(*arguments), code, *words)
    assert accesses(run(*arguments, "--trace").stderr) == []


# --- peek ------------------------------------------------------------------------------


def test_peek_prints_the_value_with_all_digits() -> None:
    assert output("peek", "sim:edu", "bar0", "0x0", "--width", "32") == "0x010000ed\n"
    assert output("peek", "sim:edu", "config", "0", "--width", "8") == "0x34\n"


@pytest.mark.parametrize(("width", "name"), [("8", "read8"), ("16", "read16"), ("32", "read32")])
def test_peek_makes_one_access_of_the_width(width: str, name: str) -> None:
    result = run("peek", "sim:edu", "bar0", "0x40", "--width", width, "--trace")
    assert [line.split()[1] for line in accesses(result.stderr)] == [name]


def test_peek_of_64_bits() -> None:
    result = run("peek", "sim:nvme", "bar0", "0", "--width", "64", "--trace")
    assert result.stdout == "0x004000200f0107ff\n"
    assert len(accesses(result.stderr)) == 1


def test_peek_counts_up() -> None:
    result = run("peek", "sim:edu", "bar0", "0", "--width", "32", "--count", "5", "--trace")
    assert result.stdout == (
        "0000: 010000ed 00000000 00000000 ffffffff\n"
        "0010: ffffffff\n"
    )  # fmt: skip
    assert [line.split()[0] for line in accesses(result.stderr)] == [
        f"BAR0+0x00{at:02x}" for at in (0, 4, 8, 12, 16)
    ]


def test_peek_of_a_region_by_number() -> None:
    assert output("peek", "sim:edu", "7", "0", "--width", "16") == "0x1234\n"


def test_peek_json() -> None:
    assert json_of("peek", "sim:edu", "bar0", "0", "--width", "32", "--count", "2") == {
        "uri": "sim:edu",
        "region": 0,
        "offset": 0,
        "width": 32,
        "values": [0x010000ED, 0],
    }


def test_peek_needs_a_width() -> None:
    assert_fails(run("peek", "sim:edu", "bar0", "0"), 2, "--width")


@pytest.mark.parametrize("width", ["12", "128", "0", "four"])
def test_peek_refuses_other_widths(width: str) -> None:
    assert_fails(run("peek", "sim:edu", "bar0", "0", "--width", width), 2, width)


@pytest.mark.parametrize("offset", ["0x100000", "1M", "0xffffd", "0x1000000000000"])
def test_peek_outside_the_region_reads_nothing(offset: str) -> None:
    assert_touches_nothing(("peek", "sim:edu", "bar0", offset, "--width", "32"), 2, "0x100000")


def test_peek_that_runs_out_of_the_region_reads_nothing() -> None:
    arguments = ("peek", "sim:edu", "bar0", "0xffff8", "--width", "32", "--count", "3")
    assert_touches_nothing(arguments, 2, "0x100000")


def test_peek_misaligned_reads_nothing() -> None:
    assert_touches_nothing(("peek", "sim:edu", "bar0", "2", "--width", "32"), 2, "multiple of 4")


def test_peek_wider_than_the_region_allows_reads_nothing() -> None:
    assert_fails(run("peek", "sim:edu", "config", "0", "--width", "64"), 2, "1, 2, 4")


@pytest.mark.parametrize("region", ["bar1", "rom", "6", "99"])
def test_a_region_that_does_not_exist_is_told_with_those_that_do(region: str) -> None:
    arguments = ("peek", "sim:edu", region, "0", "--width", "32")
    assert_touches_nothing(arguments, 4, "BAR0", "config")


@pytest.mark.parametrize("region", ["bar6", "bar", "-1", "foo", "0x0"])
def test_what_is_no_region_is_refused(region: str) -> None:
    assert_fails(run("peek", "sim:edu", "--width", "32", "--", region, "0"), 2, "bar0")


@pytest.mark.parametrize("offset", ["-4", "ten", "0x", "4 K X"])
def test_what_is_no_offset_is_refused(offset: str) -> None:
    assert_fails(run("peek", "--width", "32", "--", "sim:edu", "bar0", offset), 2, offset)


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_what_is_no_count_is_refused(count: str) -> None:
    assert_fails(run("peek", "sim:edu", "bar0", "0", "--width", "8", "--count", count), 2, count)


# --- poke ------------------------------------------------------------------------------

POKE = ("poke", "sim:edu", "bar0", "0x4", "0x12345678", "--width", "32")


def test_poke_makes_one_access_of_the_width() -> None:
    result = run(*POKE, "--write", "--trace")
    assert (result.exit_code, result.stdout) == (0, "")
    assert accesses(result.stderr) == ["BAR0+0x0004 write32 0x12345678"]


def test_poke_json() -> None:
    assert json_of(*POKE, "--write")["value"] == 0x12345678


@pytest.mark.usefixtures("must_not_open")
def test_poke_without_write_does_not_even_open() -> None:
    assert_fails(run(*POKE), 2, "--write", "nothing was touched")


def test_poke_needs_a_width() -> None:
    assert_fails(run("poke", "sim:edu", "bar0", "4", "1", "--write"), 2, "--width")


@pytest.mark.parametrize(
    ("width", "value"), [("8", "256"), ("32", "0x100000000"), ("64", f"{1 << 64}")]
)
def test_poke_of_a_value_that_does_not_fit_writes_nothing(width: str, value: str) -> None:
    result = run("poke", "sim:edu", "bar0", "0x80", value, "--width", width, "--write", "--trace")
    assert result.exit_code == 2
    assert all("failed: ValueOutOfRange" in line for line in accesses(result.stderr))
    arguments = ("poke", "sim:edu", "bar0", "0x80", value, "--width", width, "--write")
    assert_fails(run(*arguments), 2, "does not fit")


@pytest.mark.parametrize(("offset", "words"), [("0x100000", "0x100000"), ("2", "multiple of 4")])
def test_poke_where_nothing_may_be_written(offset: str, words: str) -> None:
    assert_fails(run("poke", "sim:edu", "bar0", offset, "1", "--width", "32", "--write"), 2, words)


@pytest.mark.parametrize("value", ["-1", "1K", "one", ""])
def test_what_is_no_value_is_refused(value: str) -> None:
    arguments = ("poke", "--width", "32", "--write", "--", "sim:edu", "bar0", "4", value)
    assert_fails(run(*arguments), 2, "no number")
