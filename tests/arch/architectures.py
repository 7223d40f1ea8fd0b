"""The architectures that the C core is built for, and how this machine builds and runs them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tests.needs import Need, command_line, missing

HOST = platform.machine()


@dataclass(frozen=True)
class Architecture:
    """One architecture: ``triplet`` names its compiler and system root, ``debian`` its libc."""

    name: str
    triplet: str
    debian: str
    machine: str  # e_machine, as pyelftools spells it
    byteorder: Literal["little", "big"] = "little"
    ways: tuple[str, ...] = ("load",)  # how the core reaches memory there

    @property
    def is_native(self) -> bool:
        """Whether this machine runs it by itself."""
        return self.name == HOST

    @property
    def compiler(self) -> str:
        """The compiler's command."""
        return "gcc" if self.is_native else f"{self.triplet}-gcc"

    @property
    def runner(self) -> list[str]:
        """What stands before a program to run it."""
        if self.is_native:
            return []
        return [f"qemu-{self.name}", "-L", f"/usr/{self.triplet}"]

    def runner_with(self, variables: Mapping[str, object]) -> list[str]:
        """What stands before a program to run it with these variables in its environment."""
        settings = [f"{name}={value}" for name, value in variables.items()]
        if self.is_native:
            return ["env", *settings]
        return [*self.runner, *(part for setting in settings for part in ("-E", setting))]

    @property
    def needs(self) -> tuple[Need, ...]:
        """What building and running takes."""
        if self.is_native:
            return (Need("gcc", command="gcc"), Need("libc6-dev", header="stdio.h"))
        return (
            Need(f"gcc-{self.triplet.replace('_', '-')}", command=self.compiler),
            Need(f"libc6-dev-{self.debian}-cross", header=f"/usr/{self.triplet}/include/stdio.h"),
            Need("qemu-user", command=f"qemu-{self.name}"),
        )

    def reason_not_ready(self) -> str | None:
        """Say in one line why it can be neither built nor run here, None if it can."""
        lacking = missing(self.needs)
        return f"{self.name} needs {command_line(lacking)}" if lacking else None


ARCHITECTURES = {
    arch.name: arch
    for arch in (
        Architecture("x86_64", "x86_64-linux-gnu", "amd64", "EM_X86_64"),
        Architecture("aarch64", "aarch64-linux-gnu", "arm64", "EM_AARCH64"),
        Architecture("riscv64", "riscv64-linux-gnu", "riscv64", "EM_RISCV"),
        Architecture("ppc64le", "powerpc64le-linux-gnu", "ppc64el", "EM_PPC64"),
        Architecture(
            "s390x", "s390x-linux-gnu", "s390x", "EM_S390", "big", ("load", "mio", "syscall")
        ),
    )
}
