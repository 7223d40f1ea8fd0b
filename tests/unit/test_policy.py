"""The authorisation policy is asked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pymmio
from pymmio import policy
from pymmio.errors import PolicyRefused
from pymmio.uri import DeviceUri


@pytest.fixture(autouse=True)
def default_policy() -> Iterator[None]:
    yield
    policy.set_policy(None)


def test_the_default_allows() -> None:
    pymmio.open_device("sim:edu").close()


def test_a_policy_function_is_asked_before_the_backend() -> None:
    asked: list[str] = []

    def refuse(uri: DeviceUri) -> None:
        asked.append(str(uri))
        raise PolicyRefused(f"{uri}: no")

    pymmio.set_policy(refuse)
    with pytest.raises(PermissionError):
        pymmio.open_device("nobackend:x")  # the unknown backend is not even looked for
    assert asked == ["nobackend:x"]


@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        ("sim:edu", True),
        ("# comment\n\nsim:*\n", True),
        ("vfio:0000:01:00.?\n", False),
        ("", False),
        ("#sim:edu", False),
    ],
)
def test_an_allow_file_allows_what_it_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, allowed: bool
) -> None:
    path = tmp_path / "allow"
    path.write_text(lines)
    monkeypatch.setenv("PYMMIO_ALLOW_FILE", str(path))
    if allowed:
        pymmio.open_device("sim:edu").close()
    else:
        with pytest.raises(PolicyRefused, match="Add the line sim:edu"):
            pymmio.open_device("sim:edu?x=1")


def test_an_allow_file_that_cannot_be_read_allows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYMMIO_ALLOW_FILE", str(tmp_path / "missing"))
    with pytest.raises(PolicyRefused, match="cannot be read"):
        pymmio.open_device("sim:edu")
