"""The exception tree: one root, Python's own types beside it."""

from __future__ import annotations

import copy

import pytest

from pymmio import errors


def test_everything_derives_from_the_root_and_is_listed() -> None:
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert found == set(errors.__all__)
    assert all(issubclass(getattr(errors, name), errors.PymmioError) for name in found)
    assert all(getattr(errors, name).__doc__ for name in found)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("OutOfBounds", IndexError),
        ("DeviceTimeout", TimeoutError),
        ("PermissionRefused", PermissionError),
        ("DeviceGone", OSError),
        ("BufferBusy", BufferError),
        ("BudgetExceeded", MemoryError),
        ("UriError", ValueError),
    ],
)
def test_python_types_that_callers_may_catch(name: str, base: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), base)


def test_the_hint_is_part_of_the_message() -> None:
    error = errors.DeviceGone("no answer", hint="Look at the cable")
    assert str(error) == "no answer. Look at the cable"
    assert error.hint == "Look at the cable"


def test_an_access_error_says_where() -> None:
    error = errors.AccessFault("x", region="BAR0", offset=8, width=4, is_write=True, value=1)
    assert (error.region, error.offset, error.width, error.is_write, error.value) == (
        "BAR0",
        8,
        4,
        True,
        1,
    )
    assert str(copy.copy(error)) == "x"
