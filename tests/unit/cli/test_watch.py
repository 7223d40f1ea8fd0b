"""``pymmio regs --watch``: what it reads, what it shows, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from pymmio.cli.watch import watch
from pymmio.mmio import Region
from pymmio.regs import Field, Reg, Register, RegisterFile
from pymmio.testing import mapped_region
from tests.unit.cli.running import assert_fails, output, plain, run, run_on_terminal


class Status(Register, offset=0x00, width=32):
    ready = Field(bit=0)
    level = Field(bits=(4, 7))


class Registers(RegisterFile):
    status = Reg(Status)


@pytest.fixture
def region() -> Iterator[Region]:
    with mapped_region(64) as found:
        yield found


def writes(region: Region, *values: int) -> Callable[[float], None]:
    """Return a pause in which the device writes the next value; then it is Ctrl-C."""
    left = iter(values)

    def pause(seconds: float) -> None:
        try:
            region.write32(0, next(left))
        except StopIteration:
            raise KeyboardInterrupt from None

    return pause


def lines_of(region: Region, *values: int, as_json: bool = False) -> None:
    watch(
        Registers(region).dump,
        interval_s=0.5,
        count=None,
        as_json=as_json,
        pause=writes(region, *values),
    )


def test_a_pipe_sees_changes_only(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    lines_of(region, 0, 1, 1, 0x20)
    said = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "status 0x00000000 -> 0x00000001  ready 0 -> 1",
        "status 0x00000001 -> 0x00000020  ready 1 -> 0, level 0 -> 2",
    ]


def test_json_is_an_object_a_line(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    lines_of(region, 1, 1, 0, as_json=True)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["name"], one["before"], one["after"]) for one in found] == [
        ("status", 0, 1),
        ("status", 1, 0),
    ]
    assert found[0]["fields"] == {"ready": [0, 1]}
    assert 0 <= found[0]["seconds"] <= found[1]["seconds"]


def test_it_ends_after_so_many_readings() -> None:
    reads = []
    with mapped_region(64) as region:

        def read() -> object:
            reads.append(1)
            return Registers(region).dump()

        watch(read, interval_s=1, count=3, as_json=False, pause=lambda s: None)  # type: ignore[arg-type]
    assert len(reads) == 3


def test_no_change_is_no_line() -> None:
    assert output("regs", "sim:nvme", "--watch", "--interval", "0.01", "--count", "3") == ""


def test_it_never_reads_what_has_side_effects() -> None:
    class Fifo(Register, offset=0x04, width=32, read_side_effects=True):
        pass

    class WithFifo(RegisterFile):
        status = Reg(Status)
        fifo = Reg(Fifo)

    seen: list[int] = []
    from pymmio.mmio import TracedRegion

    with mapped_region(64) as region:
        traced = TracedRegion(region, lambda event: seen.append(event.offset))
        with suppress(KeyboardInterrupt):
            watch(WithFifo(traced).dump, interval_s=1, count=2, as_json=False, pause=lambda s: None)
    assert seen == [0, 0]


@pytest.mark.usefixtures("must_not_open")
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--watch", "--side-effects"), "--side-effects"),
        (("--interval", "1"), "--watch"),
        (("--count", "1"), "--watch"),
        (("--watch", "--interval", "0"), "interval"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], word: str) -> None:
    assert_fails(run("regs", "sim:edu", *arguments), 2, word)


@pytest.mark.parametrize("columns", [80, 140])
def test_a_terminal_sees_a_table_that_fits(columns: int) -> None:
    code, shown = run_on_terminal(
        "regs", "sim:edu", "--watch", "--interval", "0.01", "--count", "2", columns=columns
    )
    text = plain(shown)
    assert code == 0
    assert "identification" in text
    assert "2 readings, 0 changes" in text
    assert max(len(line) for line in text.splitlines()) <= columns


def test_ctrl_c_ends_it_and_leaves_the_terminal_in_order() -> None:
    code, shown = run_on_terminal(
        "regs", "sim:edu", "--watch", "--interval", "0.01", interrupt_at="3 readings"
    )
    assert code == 0
    assert "Traceback" not in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_a_change_is_marked_on_a_terminal(region: Region) -> None:
    """The marks are styles: rendered here, not on a terminal, to look at them."""
    from rich.console import Console

    from pymmio.cli.watch import _Table
    from pymmio.regs import changes

    view = _Table(0.5)
    before = Registers(region).dump()
    region.write32(0, 0x21)
    after = Registers(region).dump()
    (change,) = changes(before, after)
    console = Console(width=80, force_terminal=True, color_system="standard", legacy_windows=False)
    for now_s, is_marked in ((1.0, True), (3.9, True), (4.1, False)):
        view._fresh[0, "status"] = 1.0, change
        with console.capture() as captured:
            console.print(view._drawn(after, now_s))
        assert ("ready=0→1" in plain(captured.get())) is is_marked
        assert ("\x1b[7;" in captured.get() or ";7" in captured.get()) is is_marked
