"""Make tests.guest.plugin known to pytest for this folder; the newer QEMU, if it is there."""

from __future__ import annotations

import os

import pytest

from tests.guest.needs import reason_not_ready
from tests.guest.plugin import (
    guest_run,
    pytest_collect_file,
    pytest_configure,
    pytest_terminal_summary,
)

__all__ = [
    "guest_run",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_terminal_summary",
]


@pytest.fixture(scope="session")
def qemu_ready() -> None:
    """Have the newer QEMU; skip without it, which is a failure under CI=true."""
    if reason := reason_not_ready("x86_64-newer"):
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
