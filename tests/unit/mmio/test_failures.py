"""What an accessor said becomes one typed exception with place, meaning and cause."""

from __future__ import annotations

import errno
import signal
from types import SimpleNamespace

import pytest

from pymmio.arch import lib
from pymmio.errors import AccessFault, MioError, Misaligned
from pymmio.mmio import failures
from pymmio.mmio.failures import Place, access_failed

READ = Place("BAR0: read of 4 bytes at 0x8", "BAR0", 8, 4, None, is_write=False)
WRITE = Place("BAR0: write of 2 bytes at 0x2", "BAR0", 2, 2, 0x1234, is_write=True)


def last_fault(monkeypatch: pytest.MonkeyPatch, **fields: int) -> None:
    """Let the core say that this is what failed last."""
    fault = SimpleNamespace(
        **{"signal": 0, "code": 0, "address": 0, "cc": 0, "status": 0, "error": 0, **fields}
    )
    names = ("PM_REFUSED", "PM_MIO", "PM_ERRNO", "PM_FAULT", "PM_NO_STATUS")
    fake = SimpleNamespace(**{name: getattr(lib, name) for name in names})
    fake.pm_last_fault = lambda: fault
    monkeypatch.setattr(failures, "lib", fake)


def test_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    last_fault(monkeypatch, signal=int(signal.SIGBUS), code=2, address=0x7000)
    error = access_failed(READ, lib.PM_FAULT)
    assert isinstance(error, AccessFault)
    assert error.cause_code == signal.SIGBUS
    assert "SIGBUS, si_code 2, address 0x7000" in str(error)
    assert (error.region, error.offset, error.width, error.is_write) == ("BAR0", 8, 4, False)


def test_a_condition_code_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    last_fault(monkeypatch, cc=1, status=12)
    error = access_failed(WRITE, lib.PM_MIO)
    assert isinstance(error, AccessFault)
    assert error.cause_code == 1
    assert "condition code 1, status 12: loads and stores are blocked" in str(error)
    assert (error.offset, error.width, error.is_write, error.value) == (2, 2, True, 0x1234)
    cause = error.__cause__
    assert isinstance(cause, MioError)
    assert (cause.cc, cause.status) == (1, 12)


def test_a_positive_result_of_a_system_call_has_no_status(monkeypatch: pytest.MonkeyPatch) -> None:
    last_fault(monkeypatch, cc=2, status=lib.PM_NO_STATUS)
    error = access_failed(READ, lib.PM_MIO)
    assert "condition code 2: the function is busy" in str(error)
    assert isinstance(error.__cause__, MioError)
    assert error.__cause__.status is None


def test_an_errno(monkeypatch: pytest.MonkeyPatch) -> None:
    last_fault(monkeypatch, error=errno.ENXIO)
    error = access_failed(READ, lib.PM_ERRNO)
    assert isinstance(error, AccessFault)
    assert error.cause_code == errno.ENXIO
    assert "ENXIO" in str(error)
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.ENXIO


def test_what_was_kept_beside_the_error_comes_before_the_last_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last_fault(monkeypatch, error=errno.EIO, cc=3)
    assert access_failed(WRITE, lib.PM_ERRNO, cc=0, number=errno.EINVAL).cause_code == errno.EINVAL  # type: ignore[attr-defined]
    kept = access_failed(WRITE, lib.PM_MIO, cc=1, status=4)
    assert "condition code 1, status 4: the function is not enabled" in str(kept)


def test_what_the_core_refuses_was_no_single_access() -> None:
    error = access_failed(WRITE, lib.PM_REFUSED)
    assert isinstance(error, Misaligned)
    assert (error.offset, error.width, error.is_write) == (2, 2, True)
