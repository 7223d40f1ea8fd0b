"""Describe a guest, start it, and follow it to its end."""

from __future__ import annotations

import compileall
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from tests.guest import initramfs
from tests.guest.cache import find_kernel
from tests.guest.case import CaseCall
from tests.guest.console import Console, Ending
from tests.guest.needs import reason_not_ready
from tests.guest.platforms import PLATFORMS, Platform
from tests.guest.process import line_process
from tests.guest.result import Result, read_results

# kind: (QEMU devices, kernel arguments)
IOMMUS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "intel": (
        ("intel-iommu,intremap=on,caching-mode=on",),
        ("intel_iommu=on", "iommu=nopt"),
    ),
    "virtio": (("virtio-iommu-pci",), ("iommu=nopt",)),
    "none": ((), ("iommu=off",)),
}

RUN = "@RUN@"
"""In qemu_arguments: a name that no other run has."""


@dataclass(frozen=True)
class Disk:
    """A raw sparse image that the run creates; devices name it as ``drive=<name>``."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class Guest:
    """A guest to start: devices in QEMU's own -device syntax, in order.

    ``boot_timeout_s`` is the time until the agent reports; ``grace_s`` is what may pass beyond a
    case's own deadline before the whole guest counts as hung.
    """

    name: str = "default"
    arch: str = "x86_64"
    iommu: str = "intel"
    devices: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    memory_mib: int = 1024
    smp: int = 1
    cpu: str = "max"
    kernel_arguments: tuple[str, ...] = ()
    qemu_arguments: tuple[str, ...] = ()
    boot_timeout_s: float = 60.0
    grace_s: float = 20.0

    @property
    def platform(self) -> Platform:
        """Return what the architecture adds."""
        return PLATFORMS[self.arch]


@dataclass(frozen=True)
class Run:
    """A finished run: results by CaseCall.id, where the files are, what the console showed."""

    results: Mapping[str, Result]
    folder: Path
    disks: Mapping[str, Path]
    console: tuple[str, ...]
    seconds: float

    @property
    def share(self) -> Path:
        """Return the host's side of the folder that cases know as tests.guest.inside.SHARE."""
        return self.folder / "share"

    def check(self) -> None:
        """Raise AssertionError with the details of all cases that did not pass."""
        bad = [result for result in self.results.values() if result.outcome != "passed"]
        assert not bad, "\n".join(f"{r.id} {r.outcome}\n{r.detail}{r.output}" for r in bad)


class GuestNotReady(Exception):
    """This machine lacks QEMU, busybox or the kernel; the message says what to run."""


class GuestFailure(Exception):
    """The guest did not come to its proper end.

    ``results`` has the cases that had ended before, ``running`` is the id of the one that ran.
    """

    def __init__(
        self, reason: str, console: tuple[str, ...], results: Mapping[str, Result], running: str
    ) -> None:
        self.reason = reason
        self.console = console
        self.results = results
        self.running = running
        super().__init__(self.explain())

    def explain(self, lines: int = 80) -> str:
        """Return the reason and the last ``lines`` lines of the console."""
        tail = "\n".join(self.console[-lines:])
        return f"{self.reason}\n--- end of the guest's console ---\n{tail}"


def run(
    guest: Guest, calls: Sequence[CaseCall], folder: Path, disks: Mapping[str, Path] | None = None
) -> Run:
    """Boot ``guest`` once, run ``calls`` in it, return when QEMU has ended.

    ``folder`` receives the share and the disk images; ``disks`` are images of an earlier run to
    use instead of new ones. Raises GuestNotReady or GuestFailure.
    """
    reason = reason_not_ready(guest.arch)
    if reason:
        raise GuestNotReady(reason)
    started = monotonic()
    share = folder / "share"
    share.mkdir(parents=True)
    (share / "job.json").write_text(json.dumps([asdict(call) for call in calls]))
    images = {disk.name: _image(disk, folder, disks or {}) for disk in guest.disks}
    compile_project()
    command, environment = initramfs.agent_command()
    init = initramfs.init_script(command, environment, guest.platform.exit_command)
    initramfs.write_initramfs(folder / "initramfs", init, initramfs.host_busybox())

    console = Console(
        guest.boot_timeout_s, guest.grace_s, {call.id: call.timeout_s for call in calls}
    )
    with line_process(qemu_command(guest, folder, images)) as qemu:
        ending = console.follow(qemu)
        status = qemu.close()
    lines = tuple(console.lines)
    (folder / "console.log").write_text("\n".join(lines) + "\n")
    results = read_results(share / "results.jsonl")
    fault = _fault(guest.platform, ending, status)
    if fault:
        raise GuestFailure(f"guest {guest.name}: {fault}", lines, results, console.running)
    return Run(results, folder, images, lines, monotonic() - started)


def qemu_command(guest: Guest, folder: Path, images: Mapping[str, Path]) -> list[str]:
    """Return the command line that starts ``guest`` from the files in ``folder``."""
    platform = guest.platform
    iommu_devices, iommu_arguments = IOMMUS[guest.iommu]
    kernel_arguments = (*platform.kernel_arguments, *iommu_arguments, *guest.kernel_arguments)
    command = [platform.qemu, "-machine", platform.machine, "-accel", "tcg", "-cpu", guest.cpu]
    command += ["-smp", str(guest.smp), "-m", f"{guest.memory_mib}M"]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += platform.console_arguments
    command += ["-kernel", str(find_kernel(guest.arch)), "-initrd", str(folder / "initramfs")]
    command += ["-append", " ".join(kernel_arguments)]
    # The IOMMU comes first: QEMU wires up only the devices that are made after it.
    for device in (*iommu_devices, *platform.exit_devices):
        command += ["-device", device]
    for tag, path, readonly in (
        (initramfs.ROOT_TAG, Path("/"), "on"),
        (initramfs.SHARE_TAG, folder / "share", "off"),
    ):
        options = f"readonly={readonly},security_model=none,multidevs=remap"
        command += ["-fsdev", f"local,id={tag},path={_escaped(path)},{options}"]
        command += ["-device", f"{platform.p9_device},fsdev={tag},mount_tag={tag}"]
    for name, image in images.items():
        command += ["-drive", f"if=none,id={name},format=raw,file={_escaped(image)}"]
    for device in guest.devices:
        command += ["-device", device]
    run_name = f"pymmio-{uuid.uuid4().hex}"
    return [*command, *(argument.replace(RUN, run_name) for argument in guest.qemu_arguments)]


def compile_project() -> None:
    """Compile what cases import: the guest sees a read-only root and would do it at each boot."""
    project = Path(__file__).resolve().parents[2]
    for folder in ("pymmio", "drivers", "tests/guest"):
        compileall.compile_dir(project / folder, quiet=2, maxlevels=20)


def _image(disk: Disk, folder: Path, given: Mapping[str, Path]) -> Path:
    if disk.name in given:
        return given[disk.name]
    path = folder / f"{disk.name}.img"
    path.touch()
    os.truncate(path, disk.size_bytes)
    return path


def _fault(platform: Platform, ending: Ending, status: int) -> str:
    """Say what was wrong with the end of the guest, "" if nothing was."""
    if ending.reason:
        return ending.reason
    meanings = {
        platform.exit_status(initramfs.EXIT_DONE): "",
        platform.exit_status(initramfs.EXIT_AGENT_DIED): "the agent died",
        platform.exit_status(initramfs.EXIT_NO_ROOT): "the init could not mount what it needs",
    }
    return meanings.get(status, f"QEMU ended unexpectedly with status {status}")


def _escaped(path: Path) -> str:
    """Double the commas, which separate QEMU's options."""
    return str(path).replace(",", ",,")
