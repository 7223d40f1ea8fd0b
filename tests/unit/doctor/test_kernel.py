"""The kernel's version and settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.doctor import State, kernel
from tests.unit.doctor.fake_host import FakeHost, ready


@pytest.mark.parametrize(
    ("machine", "release", "state", "said"),
    [
        ("x86_64", "6.14.0", State.OK, "are single"),
        ("x86_64", "6.1.0-32-amd64", State.INFO, "would be split"),
        ("s390x", "6.14.2", State.WARN, "maps no PCI memory on s390x"),
        ("s390x", "6.15.0-1-s390x", State.OK, "are single"),
        ("x86_64", "custom", State.INFO, "would be split"),
    ],
)
def test_version(tmp_path: Path, machine: str, release: str, state: State, said: str) -> None:
    (finding,) = kernel.version(FakeHost(tmp_path, machine=machine, release=release))
    assert finding.state is state
    assert f"Linux {release}" in finding.seen
    assert said in finding.seen


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("[none] integrity confidentiality", State.OK),
        ("none [integrity] confidentiality", State.WARN),
        ("none integrity [confidentiality]", State.WARN),
        (None, State.INFO),
        ("strange", State.INFO),
    ],
)
def test_lockdown(tmp_path: Path, text: str | None, state: State) -> None:
    host = FakeHost(tmp_path)
    if text is not None:
        host.text("/sys/kernel/security/lockdown", f"{text}\n")
    (finding,) = kernel.lockdown(host)
    assert finding.state is state


def test_module_loading(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    assert next(iter(kernel.module_loading(host))).state is State.INFO
    host.text("/proc/sys/kernel/modules_disabled", "0\n")
    assert next(iter(kernel.module_loading(host))).state is State.OK
    host.text("/proc/sys/kernel/modules_disabled", "1\n")
    (finding,) = kernel.module_loading(host)
    assert (finding.state, finding.seen) == (State.WARN, "off until the next boot")


def test_a_kernel_without_modules(tmp_path: Path) -> None:
    (finding,) = kernel.module_loading(ready(tmp_path))
    assert finding.seen == "this kernel has no modules"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "not readable"),
        (("PCI",), "not in this kernel"),
        (("DEVMEM",), "all memory"),
        (("DEVMEM", "STRICT_DEVMEM"), "device memory only"),
        (("DEVMEM", "STRICT_DEVMEM", "IO_STRICT_DEVMEM"), "only what no driver owns"),
    ],
)
def test_dev_mem(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    host = FakeHost(tmp_path)
    if options:
        host.config(*options)
    (finding,) = kernel.dev_mem(host)
    assert finding.state is State.INFO
    assert said in finding.seen


def test_dev_mem_with_relaxed_limits(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.config("DEVMEM", "STRICT_DEVMEM", "IO_STRICT_DEVMEM")
    host.text("/proc/cmdline", "iomem=relaxed\n")
    (finding,) = kernel.dev_mem(host)
    assert "limits are off" in finding.seen
