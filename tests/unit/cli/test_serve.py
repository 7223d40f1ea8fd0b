"""``pymmio serve``: models on sockets, as processes of their own."""

from __future__ import annotations

import json
import selectors
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import pymmio
from pymmio.backend.served import MODEL_GROUP, make_model, model_names
from tests.unit.cli.running import COMMAND, DEADLINE_S, assert_fails, assert_one_line, output, run
from tests.unit.cli.test_completion import answers


@contextmanager
def process(*arguments: str, lines: int = 1) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start it and wait for its lines; end it if the test does not."""
    with subprocess.Popen(
        [*COMMAND, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as started:
        try:
            assert started.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(started.stdout, selectors.EVENT_READ)
                assert selector.select(DEADLINE_S)
                yield started, [started.stdout.readline() for _ in range(lines)]
        finally:
            if started.poll() is None:
                started.kill()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_says_that_it_listens_and_ends_in_order(tmp_path: Path, end: signal.Signals) -> None:
    socket, disk = tmp_path / "s", tmp_path / "disk.img"
    arguments = ("nvme", "--socket", str(socket), "--file", str(disk), "--size=1M")
    with process(*arguments) as (started, lines):
        assert lines == [f"serving nvme on {socket}\n"]
        with pymmio.open_device(f"vfio-user:{socket}") as device:
            assert device.config.ids.class_code == 0x010802
        started.send_signal(end)
        said, problems = started.communicate(timeout=DEADLINE_S)
    assert (started.returncode, said, problems) == (0, "", "")
    assert not socket.exists()
    assert disk.stat().st_size == 1 << 20


def test_it_ends_while_a_client_is_there(tmp_path: Path) -> None:
    with process("edu", "--socket", str(tmp_path / "s")) as (started, _):
        with pymmio.open_device(f"vfio-user:{tmp_path}/s"):
            started.terminate()
            assert started.wait(DEADLINE_S) == 0


def test_several_devices_with_a_plus_in_between(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    arguments = ("edu", "--socket", str(first), "+")
    more = ("access-recorder", f"--socket={second}", "--option", "size=8K")
    with process(*arguments, *more, lines=2) as (_, lines):
        assert lines == [f"serving edu on {first}\n", f"serving access-recorder on {second}\n"]
        with (
            pymmio.open_device(f"vfio-user:{first}") as edu,
            pymmio.open_device(f"vfio-user:{second}") as recorder,
        ):
            assert edu.region(0).read32(0) == 0x010000ED
            assert recorder.region(0).size == 8192


def test_the_recorder_writes_its_log_as_it_grows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = ("access-recorder", "--socket", str(tmp_path / "s"), "--file", str(log))
    with process(*arguments):
        with pymmio.open_device(f"vfio-user:{tmp_path}/s") as device:
            device.region(0).write32(0x10, 0x01020304)
            device.region(0).read16(0x12)
            lines = log.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"number": 0, "offset": 16, "width": 4, "is_write": True, "value": 0x01020304},
        {"number": 1, "offset": 18, "width": 2, "is_write": False, "value": 0x0102},
    ]


def test_models_are_listed_with_their_options() -> None:
    lines = output("serve", "--list").splitlines()
    named = [line for line in lines if not line.startswith(" ")]
    assert named == sorted(named)
    assert not [line for line in named if line.startswith("replay:")]  # cannot be served
    assert max(map(len, lines)) < 100
    edu = next(number for number, line in enumerate(lines) if line.startswith("edu: The edu"))
    assert lines[edu + 1] == "    --dma_mask=0xfffffff --busy_reads=0"
    nvme = "".join(lines[next(n for n, line in enumerate(lines) if line.startswith("nvme:")) :])
    for option in ("--size=SIZE ", "--ns=1 ", "--version=1.4 ", "--nssr=off "):
        assert option in nvme


@pytest.mark.parametrize("name", ["toaster", "replay"])
def test_the_models_that_can_be_served_are_named(tmp_path: Path, name: str) -> None:
    result = run("serve", name, "--socket", str(tmp_path / "socket"))
    assert_fails(result, 4, f"no model {name!r} that can be served", "access-recorder, edu, ")
    assert "replay," not in result.stderr


@pytest.mark.parametrize("name", [name for name in model_names() if name != "replay"])
def test_listed_options_are_taken(name: str) -> None:
    entry = next(iter(entry_points(group=MODEL_GROUP, name=name)))
    given = {
        option: str(default)
        for option, default in entry.load().offered_options().items()
        if default is not None
    }
    assert given
    make_model(name, given, asked="test")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("name the model first",)),
        (("nvme",), ("--socket",)),
        (("--socket", "s", "--size", "64M"), ("name the model first",)),
        (("nvme", "--socket", "s", "edu"), ("'edu'", "+")),
        (("nvme", "--socket", "s", "--option", "size"), ("NAME=VALUE",)),
        (("nvme", "--socket", "s", "--size", "1M", "--option", "size=2M"), ("twice",)),
        (("nvme", "--socket", "s", "+"), ("name the model first",)),
        (("edu", "--socket", "s", "--heat"), ("no option 'heat'",)),
    ],
)
def test_what_cannot_be_served_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: tuple[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_fails(run("serve", *arguments), 2, *words)
    assert list(tmp_path.iterdir()) == []


def test_other_failures_have_their_exit_codes(tmp_path: Path) -> None:
    assert_fails(run("serve", "toaster", "--socket", str(tmp_path / "s")), 4, "edu,", "nvme")
    assert_fails(run("serve", "edu", "--socket", str(tmp_path / "no" / "s")), 4, "directory")
    with process("edu", "--socket", str(tmp_path / "s")):
        assert_fails(run("serve", "edu", "--socket", str(tmp_path / "s")), 6, "live server")


def test_the_second_model_that_fails_takes_the_first_along(tmp_path: Path) -> None:
    first = tmp_path / "a"
    other = ("nvme", "--socket", str(tmp_path / "b"), "--size", "wrong")
    result = run("serve", "edu", "--socket", str(first), "+", *other)
    assert result.exit_code == 2
    assert_one_line(result.stderr, "size")
    assert not first.exists()


def test_it_ends_when_its_owner_is_not_the_parent(tmp_path: Path) -> None:
    with process("edu", "--socket", str(tmp_path / "s"), "--owner", "1") as (started, _):
        assert started.wait(DEADLINE_S) == 0


PAGE = Path(__file__).parents[3] / "docs" / "howto" / "serve-a-model.rst"


def test_the_how_to_says_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = [shlex.split(line)[3:] for line in PAGE.read_text().splitlines() if " $ pymmio" in line]
    assert len(found) == 3
    for arguments in found:
        here = [word.replace("/tmp/", f"{tmp_path}/") for word in arguments]
        with process(*here, lines=1 + here.count("+")) as (_, lines):
            for line in lines:
                assert (
                    line.replace(f"{tmp_path}/", "/tmp/").strip() in PAGE.read_text() or "+" in here
                )


def test_a_shell_completes_models_and_options() -> None:
    assert set(answers("pymmio serve ")) >= {"access-recorder", "edu", "nvme"}
    assert answers("pymmio serve ed") == ["edu"]
    assert set(answers("pymmio serve edu --s")) == {"--socket"}
