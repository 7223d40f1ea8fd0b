"""The doctor changes nothing: what it asks Python for, and what it asks the kernel for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEADLINE_S = 120
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

# Runs all probes under an audit hook and prints what is more than looking.
AUDITED = """
import os, sys
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.putenv", "os.unsetenv")
def hook(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if flags & WRITING or set(mode or "") & set("wax+"):
            print("open", path, mode, flags)
    elif event in ("subprocess.Popen", "os.posix_spawn"):  # the second follows the first
        executable, words = arguments[0], arguments[1]
        name = os.path.basename(os.fsdecode(words[0]))
        if not name.startswith("qemu-system-") or list(words[1:]) != ["--version"]:
            print(event, words)
        else:
            print("asked", name, file=sys.stderr)
    elif event.startswith(("os.", "fcntl.", "socket.", "shutil.", "signal.", "mmap.")):
        if event not in HARMLESS:
            print(event, arguments)
import pymmio.doctor
sys.addaudithook(hook)
report = pymmio.doctor.examine()
sys.stderr.write(f"{len(report)} findings")
"""


def test_python_is_asked_for_nothing_but_reading() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AUDITED],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stdout == ""
    assert re.search(r"\d\d findings", done.stderr), done.stderr


# Calls that take a path or a request and change nothing, with any argument.
LOOKING = {
    "access", "execve", "faccessat", "faccessat2", "fstat", "getcwd", "lstat", "newfstatat",
    "readlink", "readlinkat", "stat", "statfs", "statx", "chdir",
}  # fmt: skip
CALL = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)$")
OPENED_FOR_WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE")
ABOUT_TERMINALS = ("TCGETS", "TIOCGWINSZ")


def test_the_kernel_is_asked_for_nothing_but_reading(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "log"
    traced = [strace, "-f", "-qq", "-e", "trace=%file,ioctl,mount,socket,connect", "-o", str(log)]
    probe = subprocess.run([*traced, "true"], capture_output=True, timeout=DEADLINE_S, check=False)
    if probe.returncode:
        pytest.skip(f"strace cannot trace here: {probe.stderr.decode()[:80]}")
    # QEMU opens devices even to say its version, so something else says it here.
    qemu = tmp_path / "qemu-system-test"
    qemu.write_text("#!/bin/sh\necho QEMU emulator version 10.1.0\n")
    qemu.chmod(0o755)
    done = subprocess.run(
        [*traced, sys.executable, "-m", "pymmio.cli", "doctor", "--json"],
        env={**ENVIRONMENT, "PATH": str(tmp_path)},
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"10.1.0" in done.stdout
    calls = log.read_text(errors="replace").splitlines()
    assert any("/proc/self/limits" in call for call in calls)
    assert [call for call in calls if not _only_looks(call)] == []


@pytest.mark.parametrize(
    ("line", "only_looks"),
    [
        ('12 openat(AT_FDCWD, "/x", O_RDONLY|O_CLOEXEC) = 3', True),
        ('12 openat(AT_FDCWD, "/x", O_RDWR|O_CLOEXEC <unfinished ...>', False),
        ('12 openat(AT_FDCWD, "/x", O_WRONLY|O_CREAT, 0666) = 3', False),
        ("12 ioctl(3, VFIO_GET_API_VERSION) = 0", False),
        ("12 ioctl(1, TCGETS, 0x7ff) = -1 ENOTTY", True),
        ('12 unlink("/x") = 0', False),
        ('[pid 12] mkdir("/x", 0777) = 0', False),
        ('12 execve("/sbin/modprobe", ["modprobe", "vfio-pci"], 0x7ff) = 0', False),
        ('12 execve("/q/qemu-system-x", ["qemu-system-x", "--version"], 0x7ff) = 0', True),
        ("12 socket(AF_UNIX, SOCK_STREAM, 0) = 3", False),
        ("12 <... openat resumed>) = 3", True),
        ("12 +++ exited with 0 +++", True),
    ],
)
def test_the_reading_of_the_trace_can_fail(line: str, only_looks: bool) -> None:
    assert _only_looks(line) is only_looks


def _only_looks(line: str) -> bool:
    match = CALL.match(line)
    if match is None:
        return "+++" in line or "---" in line or "resumed>" in line
    name, arguments = match.groups()
    if name in ("open", "openat"):
        return OPENED_FOR_WRITING.search(arguments) is None
    if name == "execve":
        return "python" in arguments or (
            "qemu-system-" in arguments and '"--version"]' in arguments
        )
    if name == "ioctl":
        return any(request in arguments for request in ABOUT_TERMINALS)
    return name in LOOKING
