"""Fixtures for tests of the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import pymmio


@pytest.fixture
def must_not_open(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Fail the test if a device is opened."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"open_device{arguments} was called")

    monkeypatch.setattr(pymmio, "open_device", refuse, raising=False)
    return refuse
