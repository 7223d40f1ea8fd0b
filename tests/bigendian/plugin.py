"""A pytest plugin of the big-endian run: what is left out, each with its reason.

``LEFT_OUT`` names folders, files or single tests (without their parameters).  Whatever is not
named here runs; a name that matches nothing is an error, so that the list cannot rot.
"""

from __future__ import annotations

import sys

import pytest

_EMULATED = "qemu-user does not emulate it"
LEFT_OUT: dict[str, str] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run where the run would prove nothing."""
    if sys.byteorder != "big":
        raise pytest.UsageError("this is no big-endian Python: use python -m tests.bigendian.run")


def _reason(item: pytest.Item) -> str | None:
    name = item.nodeid.split("[", 1)[0]
    for prefix, reason in LEFT_OUT.items():
        if name == prefix or name.startswith((prefix + "/", prefix + "::")):
            return reason
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is named."""
    left_out = [item for item in items if _reason(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _reason(item)]
