"""Run the drivers' tests on QEMU's devices: ``python -m tests.qemu.drivers [pytest's options]``.

Only those that take any device; the others drive the models in any case.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = {"edu_uri", "nvme_uri"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that no URI changes; this module is the plugin, too."""
    chosen = [item for item in items if FIXTURES & set(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def main(arguments: list[str]) -> int:
    """Run them; the disk is a file that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="pymmio-") as folder:
        environment = {
            **os.environ,
            "PYMMIO_TEST_EDU": "qemu:edu",
            "PYMMIO_TEST_NVME": f"qemu:nvme,serial=x?drive={folder}/disk.img&size=64M",
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.qemu.drivers"]
        return subprocess.run(
            [*command, "tests/drivers", *arguments], cwd=ROOT, env=environment
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
