"""The picture of ``pymmio nvme bench --plot``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pymmio.cli.nvme import plot
from tests.unit.cli.nvme.test_histogram import SOME, figures
from tests.unit.cli.running import assert_fails, run, run_process

BENCH = ("nvme", "bench", "sim:nvme?size=1M", "--seconds", "0.05")

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


@needs_matplotlib
@pytest.mark.parametrize(
    ("name", "begin"), [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")]
)
def test_a_picture_is_drawn(tmp_path: Path, name: str, begin: bytes) -> None:
    path = tmp_path / name
    done = run_process(*BENCH, "--plot", str(path))
    assert (done.returncode, done.stderr) == (0, f"pymmio: drew the latencies to {path}\n")
    assert path.read_bytes().startswith(begin)


@needs_matplotlib
@pytest.mark.parametrize(
    "one",
    [SOME, figures((100, 1), p50=0.1, p99=0.1), figures((1, 5), (10**10, 1)), figures()],
    ids=["some", "one command", "ten decades", "nothing"],
)
def test_any_latencies_can_be_drawn(tmp_path: Path, one: object) -> None:
    path = tmp_path / "a.svg"
    plot.draw(one, path, title="what it is")  # type: ignore[arg-type]
    assert "what it is" in path.read_text()


@pytest.mark.usefixtures("must_not_open")
def test_without_matplotlib_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_fails(run(*BENCH, "--plot", "a.png"), 1, "pip install 'pymmio[plot]'")


@pytest.mark.usefixtures("must_not_open")
@pytest.mark.parametrize("name", ["a.bmp", "a", "/nowhere/at/all.png"])
def test_a_name_that_cannot_be_drawn_to_is_refused_first(name: str) -> None:
    if importlib.util.find_spec("matplotlib") is None and name.endswith("png"):
        pytest.skip("matplotlib is not installed")
    assert_fails(run(*BENCH, "--plot", name), 2, "--plot")
