"""Make tests.guest.plugin known to pytest for this folder."""

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
