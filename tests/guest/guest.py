"""Describe a guest, start it, and follow it to its end."""

from __future__ import annotations

import compileall
import importlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from tests.guest import initramfs
from tests.guest.cache import locked
from tests.guest.case import CaseCall
from tests.guest.console import Console, Ending
from tests.guest.initramfs import PROJECT
from tests.guest.needs import reason_not_ready
from tests.guest.platforms import PLATFORMS, Files, Platform
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
    "zpci": ((), ()),  # s390x: every function has its own
}

COMPILE_TIMEOUT_S = 900.0

RUN = "@RUN@"
"""In qemu_arguments: a name that no other run has."""
SHARE = "@SHARE@"
"""In qemu_arguments: the folder that the guest shares with the host."""


@dataclass(frozen=True)
class Disk:
    """A raw sparse image that the run creates; devices name it as ``drive=<name>``."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class Guest:
    """A guest to start: devices in QEMU's own -device syntax, in order.

    ``boot_timeout_s`` is the time until the agent reports; ``grace_s`` is what may pass beyond a
    case's own deadline before the whole guest counts as hung.  ``beside`` names a context manager
    ("module:function") that surrounds the run: it gets the folder of the run, and gives the values
    of ``@NAME@`` in devices and arguments.  A guest that may reboot runs the case that made it do
    so once more, see tests.guest.inside.
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
    beside: str = ""
    may_reboot: bool = False

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


class BesideFailure(Exception):
    """What ran beside a guest did not do well; the message says how."""


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
    files = guest.platform.files()
    compile_project(guest.platform, files)
    _write_initramfs(guest.platform, files, folder / "initramfs")

    console = Console(
        guest.boot_timeout_s, guest.grace_s, {call.id: call.timeout_s for call in calls}
    )
    environment = {**os.environ, **files.environment}
    ending, status, complaint = Ending(), 0, ""
    try:
        with _beside(guest, folder) as words:
            command = [
                _filled(argument, words) for argument in qemu_command(guest, folder, images, files)
            ]
            with line_process(command, None, environment) as qemu:
                ending = console.follow(qemu)
                status = qemu.close()
    except BesideFailure as failure:
        complaint = str(failure)
    lines = tuple(console.lines)
    (folder / "console.log").write_text("\n".join(lines) + "\n")
    results = read_results(share / "results.jsonl")
    fault = complaint or _fault(guest.platform, ending, status, lines)
    if fault:
        raise GuestFailure(f"guest {guest.name}: {fault}", lines, results, console.running)
    return Run(results, folder, images, lines, monotonic() - started)


def qemu_command(guest: Guest, folder: Path, images: Mapping[str, Path], files: Files) -> list[str]:
    """Return the command line that starts ``guest`` from ``files`` and what is in ``folder``."""
    platform = guest.platform
    iommu_devices, iommu_arguments = IOMMUS[guest.iommu]
    kernel_arguments = (*platform.kernel_arguments, *iommu_arguments, *guest.kernel_arguments)
    command = [*files.qemu, "-machine", platform.machine, "-accel", "tcg", "-cpu", guest.cpu]
    command += ["-smp", str(guest.smp), "-m", f"{guest.memory_mib}M"]
    command += ["-nodefaults", "-no-user-config", "-display", "none"]
    command += [] if guest.may_reboot else ["-no-reboot"]
    command += platform.console_arguments
    command += ["-kernel", str(files.kernel), "-initrd", str(folder / "initramfs")]
    command += ["-append", " ".join(kernel_arguments)]
    # The IOMMU comes first: QEMU wires up only the devices that are made after it.
    for device in (*iommu_devices, *platform.exit_devices):
        command += ["-device", device]
    shares = [
        (initramfs.ROOT_TAG, files.root, "on"),
        (initramfs.SHARE_TAG, folder / "share", "off"),
    ]
    if files.project != PROJECT:
        shares.append((initramfs.PROJECT_TAG, PROJECT, "on"))
    for tag, path, readonly in shares:
        options = f"readonly={readonly},security_model=none,multidevs=remap"
        command += ["-fsdev", f"local,id={tag},path={_escaped(path)},{options}"]
        command += ["-device", f"{platform.p9_device},fsdev={tag},mount_tag={tag}"]
    for name, image in images.items():
        command += ["-drive", f"if=none,id={name},format=raw,file={_escaped(image)}"]
    for device in guest.devices:
        command += ["-device", device]
    words = {RUN: f"pymmio-{uuid.uuid4().hex}", SHARE: str(folder / "share")}
    for argument in guest.qemu_arguments:
        for word, value in words.items():
            argument = argument.replace(word, value)
        command.append(argument)
    return command


def compile_project(platform: Platform, files: Files) -> None:
    """Compile what cases import: the guest sees a read-only root and would do it at each boot.

    One process at a time: two Pythons may choose the same name for what they have not finished.
    """
    folders = [PROJECT / name for name in ("pymmio", "drivers", "tests")]
    with locked("byte-code", COMPILE_TIMEOUT_S):
        if platform.compile is not None:
            platform.compile(files, folders)
            return
        for folder in folders:
            compileall.compile_dir(folder, quiet=2, maxlevels=20)


def _write_initramfs(platform: Platform, files: Files, path: Path) -> None:
    command, environment = initramfs.agent_command(files.interpreter, files.project)
    init = initramfs.init_script(
        command,
        environment,
        platform.exit_command,
        modules=[module.name for module in files.modules],
        project=None if files.project == PROJECT else files.project,
    )
    others = {f"modules/{module.name}": module for module in files.modules}
    others |= {f"replaced/{name}": built for name, built in files.replaced.items()}
    initramfs.write_initramfs(path, init, files.busybox, others)


@contextmanager
def _beside(guest: Guest, folder: Path) -> Iterator[Mapping[str, str]]:
    if not guest.beside:
        yield {}
        return
    module, _, name = guest.beside.partition(":")
    with getattr(importlib.import_module(module), name)(folder) as words:
        yield words


def _filled(argument: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        argument = argument.replace(f"@{word}@", value)
    return argument


def _image(disk: Disk, folder: Path, given: Mapping[str, Path]) -> Path:
    if disk.name in given:
        return given[disk.name]
    path = folder / f"{disk.name}.img"
    path.touch()
    os.truncate(path, disk.size_bytes)
    return path


def _fault(platform: Platform, ending: Ending, status: int, console: Sequence[str]) -> str:
    """Say what was wrong with the end of the guest, "" if nothing was."""
    if ending.reason:
        return ending.reason
    meanings = {
        initramfs.EXIT_DONE: "",
        initramfs.EXIT_AGENT_DIED: "the agent died",
        initramfs.EXIT_NO_ROOT: "the init could not mount what it needs",
    }
    code = platform.exit_code(status, console)
    if code in meanings:
        return meanings[code]
    return f"QEMU ended unexpectedly with status {status}"


def _escaped(path: Path) -> str:
    """Double the commas, which separate QEMU's options."""
    return str(path).replace(",", ",,")
