"""Run the drivers' tests on devices of another backend: ``python -m tests.drivers.elsewhere NAME``.

``vfio-user``: models that other processes serve.  ``qemu``: QEMU's devices.  Further arguments
are pytest's; without a path, all tests of drivers.  Chosen are those that take any device; those
that need the model itself (its hooks, its options) drive the model in this process in any case.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from pymmio.testing import served

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = {"edu_uri", "nvme_uri"}

Uris = dict[str, str]


@contextmanager
def _vfio_user() -> Iterator[Uris]:
    with served("edu") as edu, served("nvme", size="64M") as nvme:
        yield {"edu": edu, "nvme": nvme}


@contextmanager
def _qemu() -> Iterator[Uris]:
    with tempfile.TemporaryDirectory(prefix="pymmio-") as folder:
        nvme = f"qemu:nvme,serial=x?drive={folder}/disk.img&size=64M"
        yield {"edu": "qemu:edu", "nvme": nvme}


BACKENDS: dict[str, Callable[[], AbstractContextManager[Uris]]] = {
    "qemu": _qemu,
    "vfio-user": _vfio_user,
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that no URI changes; this module is the plugin, too."""
    chosen = [item for item in items if FIXTURES & set(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def main(arguments: list[str]) -> int:
    """Run them; return pytest's status."""
    name, *rest = arguments
    with BACKENDS[name]() as uris:
        environment = {f"PYMMIO_TEST_{kind.upper()}": uri for kind, uri in uris.items()}
        has_path = any((ROOT / argument.partition("::")[0]).exists() for argument in rest)
        chosen = [*rest] if has_path else [*rest, "tests/drivers"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", __spec__.name, *chosen]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | environment)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
