"""What differs between guest architectures: QEMU's name, console, 9p transport, way out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Platform:
    """An architecture that guests can have.

    ``exit_command`` is shell text for the init that ends QEMU with the code in ``$1``;
    ``exit_status`` says which status of QEMU belongs to such a code.
    """

    arch: str
    qemu: str
    machine: str
    console_arguments: tuple[str, ...]
    kernel_arguments: tuple[str, ...]
    p9_device: str
    exit_devices: tuple[str, ...]
    exit_command: str

    def exit_status(self, code: int) -> int:
        """Return QEMU's status for the code that the init handed over (isa-debug-exit)."""
        return (code << 1 | 1) & 0xFF


X86_64 = Platform(
    arch="x86_64",
    qemu="qemu-system-x86_64",
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
)

PLATFORMS = {platform.arch: platform for platform in (X86_64,)}
