"""What differs between guest architectures: QEMU and the kernel, console, 9p transport, way out."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.guest.cache import find_kernel
from tests.guest.initramfs import PROJECT, host_busybox


@dataclass(frozen=True)
class Files:
    """What a guest is started from, found on this machine.

    ``modules`` are loaded in this order.  ``root`` is what the guest has as its root; where that
    is not the host's own, the project stands at /project in it, with the files ``replaced``, by
    their paths in the project: what was built for the other architecture.
    """

    qemu: tuple[str, ...]
    kernel: Path
    busybox: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[Path, ...] = ()
    root: Path = Path("/")
    interpreter: str = sys.executable
    replaced: Mapping[str, Path] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        """Return where the guest sees the project."""
        return PROJECT if self.root == Path("/") else Path("/project")


@dataclass(frozen=True)
class Platform:
    """An architecture that guests can have.

    ``exit_command`` is shell text for the init that ends with the code in ``$1``, and
    ``exit_code`` finds that code again in QEMU's status and the console, None if there is none.
    ``compile`` compiles the project's Python files for the guest's interpreter.
    """

    arch: str
    files: Callable[[], Files]
    machine: str
    console_arguments: tuple[str, ...]
    kernel_arguments: tuple[str, ...]
    p9_device: str
    exit_devices: tuple[str, ...]
    exit_command: str
    exit_code: Callable[[int, Sequence[str]], int | None]
    compile: Callable[[Files, Sequence[Path]], None] | None = None


def _x86_64_files() -> Files:
    kernel = find_kernel("x86_64")
    if kernel is None:
        raise FileNotFoundError("no guest kernel: python -m tests.guest.kernel")
    return Files(qemu=("qemu-system-x86_64",), kernel=kernel, busybox=host_busybox())


def _x86_64_newer_files() -> Files:
    from tests import newer_qemu

    return replace(_x86_64_files(), qemu=(str(newer_qemu.program()),))


def _by_debug_exit(status: int, console: Sequence[str]) -> int | None:
    """Undo what isa-debug-exit makes of a code; QEMU's own failures have status 1."""
    return status >> 1 if status > 1 and status & 1 else None


_EXIT_LINE = "guest init: exit "


def _by_console(status: int, console: Sequence[str]) -> int | None:
    """Find the line that the init printed; QEMU must have ended by itself."""
    said = [found[1] for line in console if (found := re.search(rf"{_EXIT_LINE}(\d+)", line))]
    return int(said[-1]) if said and status == 0 else None


def _s390x_files() -> Files:
    from tests.s390x import guest

    return guest.files()


def _s390x_newer_files() -> Files:
    from tests import newer_qemu

    return replace(_s390x_files(), qemu=(str(newer_qemu.program("s390x")),), environment={})


def _compile_by_emulation(files: Files, folders: Sequence[Path]) -> None:
    from tests.arch.python import compile_tree

    compile_tree(files.root, folders)


X86_64 = Platform(
    arch="x86_64",
    files=_x86_64_files,
    machine="q35,kernel-irqchip=split",
    console_arguments=("-chardev", "stdio,id=console,mux=off", "-serial", "chardev:console"),
    kernel_arguments=(
        "console=ttyS0",
        "quiet",
        "panic=-1",
        "oops=panic",
        "no_timer_check",
        "random.trust_cpu=on",
    ),
    p9_device="virtio-9p-pci",
    exit_devices=("isa-debug-exit,iobase=0xf4,iosize=4",),
    exit_command=(
        r'printf "\\$(printf %o $1)" | $b dd of=/dev/port bs=1 seek=244 count=1 2>/dev/null'
    ),
    exit_code=_by_debug_exit,
)

# vfio-user-pci, whose server reaches the guest's memory: Guest.qemu_arguments says what "ram" is.
X86_64_NEWER = replace(
    X86_64,
    arch="x86_64-newer",
    files=_x86_64_newer_files,
    machine="q35,kernel-irqchip=split,memory-backend=ram",
)

# Nothing there ends QEMU with a status of one's own.
S390X = Platform(
    arch="s390x",
    files=_s390x_files,
    machine="s390-ccw-virtio",
    console_arguments=(
        *("-chardev", "stdio,id=console,mux=off"),
        *("-device", "sclpconsole,chardev=console"),
    ),
    kernel_arguments=("console=ttysclp0", "quiet", "panic=-1", "oops=panic"),
    p9_device="virtio-9p-ccw",
    exit_devices=(),
    exit_command=f'echo "{_EXIT_LINE}$1"',
    exit_code=_by_console,
    compile=_compile_by_emulation,
)

S390X_NEWER = replace(
    S390X,
    arch="s390x-newer",
    files=_s390x_newer_files,
    machine="s390-ccw-virtio,memory-backend=ram",
)

PLATFORMS = {platform.arch: platform for platform in (X86_64, X86_64_NEWER, S390X, S390X_NEWER)}
