"""The newer QEMU is new enough, and runs by itself wherever it was unpacked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import cast

import pytest

from tests import newer_qemu
from tests.debian import Apt, PackagesUnavailable


class Suite:
    """A suite whose QEMU has this version."""

    def __init__(self, candidate: str) -> None:
        self._candidate = candidate

    def cache(self, *arguments: str) -> str:
        assert arguments == ("policy", "qemu-system-x86")
        return f"qemu-system-x86:\n  Installed: (none)\n  Candidate: {self._candidate}\n"


@pytest.mark.parametrize("version", ["1:10.1.0+ds-1", "1:11.1.3+ds-1~bpo13+1", "12.0-1"])
def test_new_enough(version: str) -> None:
    assert newer_qemu._new_enough(cast(Apt, Suite(version))) == newer_qemu.QEMU.packages


@pytest.mark.parametrize(
    ("version", "said"),
    [("1:10.0.2+ds-2", "10.0, wanted"), ("1:7.2+dfsg-7", "7.2"), ("(none)", "has no")],
)
def test_too_old_or_missing(version: str, said: str) -> None:
    with pytest.raises(PackagesUnavailable, match=said):
        newer_qemu._new_enough(cast(Apt, Suite(version)))


def test_wrappers_follow_their_folder(tmp_path: Path) -> None:
    made = tmp_path / "made"
    libraries = made / "usr/lib/x86_64-linux-gnu"
    for folder in (libraries / "qemu", made / "usr/lib64", made / "usr/bin"):
        folder.mkdir(parents=True)
    loader = libraries / "ld-linux-x86-64.so.2"
    loader.write_text('#!/bin/sh\necho "$@"\n')  # says what it is to load
    loader.chmod(0o755)
    (made / "usr/lib64/ld-linux-x86-64.so.2").symlink_to(
        "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    )
    newer_qemu._arrange(made)
    moved = made.rename(tmp_path / "moved")
    program = moved / "qemu-system-s390x"
    said = subprocess.run([program, "-M", "a b"], capture_output=True, text=True, check=True).stdout
    lib = moved / "usr/lib/x86_64-linux-gnu"
    assert said == f"--library-path {lib} {moved}/usr/bin/qemu-system-s390x -M a b\n"
    assert os.path.samefile(lib / "qemu-bundle/usr/lib/x86_64-linux-gnu/qemu", lib / "qemu")


@pytest.mark.usefixtures("qemu_ready")
@pytest.mark.parametrize("system", newer_qemu.SYSTEMS)
def test_it_has_the_client_and_loads_no_module_of_the_host(system: str) -> None:
    done = subprocess.run(
        [newer_qemu.program(system), "-device", "help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert 'name "vfio-user-pci"' in done.stdout
    assert "Only modules from the same build can be loaded" not in done.stderr
