"""What commands on a device have in common."""

from __future__ import annotations

import re

import click
import pytest

from pymmio.cli.options import ACCESS_WAYS, Target, require_yes
from pymmio.errors import UriError
from pymmio.handle import Access
from tests.unit.cli.running import assert_fails, run

PEEK = ("peek", "sim:edu", "bar0", "0", "--width", "32")


def test_ways_of_access_are_those_of_the_library() -> None:
    assert ACCESS_WAYS == tuple(str(way) for way in Access)


def test_trace_prints_each_access_on_standard_error() -> None:
    result = run(*PEEK, "--trace")
    assert (result.exit_code, result.stdout) == (0, "0x010000ed\n")
    lines = result.stderr.splitlines()
    assert all(
        re.fullmatch(r" *\d+\.\d{6} sim:edu \S+ (read|write)\d+ 0x[0-9a-f]+", s) for s in lines
    )
    assert [line.split(maxsplit=1)[1] for line in lines if "BAR0" in line] == [
        "sim:edu BAR0+0x0000 read32 0x010000ed"
    ]
    assert lines[0].split()[0] == "0.000000"


def test_a_forced_way_of_access_is_used() -> None:
    assert run(*PEEK, "--access", "message").stdout == "0x010000ed\n"


def test_a_way_of_access_that_is_not_offered_is_an_error() -> None:
    assert_fails(run(*PEEK, "--access", "mapped"), 1, "access='mapped'", "message")


def test_a_way_of_access_that_does_not_exist_is_refused() -> None:
    assert_fails(run(*PEEK, "--access", "magic"), 2, "magic", "mapped")


def test_a_missing_uri_is_told() -> None:
    assert_fails(run("config"), 2, "URI")


@pytest.mark.parametrize(
    ("uri", "simulated"),
    [
        ("sim:nvme", True),
        ("SIM:nvme?size=64M", True),
        ("sim:nvme?file=disk.img", False),
        ("sim:nvme?size=1M&file=disk.img", False),
        ("vfio:0000:01:00.0", False),
        ("qemu:nvme", False),
    ],
)
def test_only_a_model_without_a_file_can_be_written_unasked(uri: str, simulated: bool) -> None:
    assert Target(uri).is_simulated is simulated


def test_a_wrong_uri_is_not_taken_for_a_model() -> None:
    with pytest.raises(UriError):
        _ = Target("nvme").is_simulated


@pytest.mark.parametrize(
    ("uri", "yes", "is_terminal", "asks"),
    [
        ("sim:nvme", False, False, False),
        ("sim:nvme", False, True, False),
        ("sim:nvme?file=disk.img", True, False, False),
        ("sim:nvme?file=disk.img", False, True, True),
        ("vfio:0000:01:00.0", True, True, False),
        ("vfio:0000:01:00.0", False, True, True),
    ],
)
def test_who_is_asked(
    monkeypatch: pytest.MonkeyPatch, uri: str, yes: bool, is_terminal: bool, asks: bool
) -> None:
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: is_terminal, raising=False)
    assert require_yes(yes, Target(uri), "this destroys") is asks


@pytest.mark.parametrize("silent", ["stdin", "stderr"])
def test_yes_is_needed_where_nobody_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda s=stream: s != silent, raising=False)
    with pytest.raises(click.UsageError, match="this destroys: nothing was touched, add --yes"):
        require_yes(False, Target("vfio:0000:01:00.0"), "this destroys")
