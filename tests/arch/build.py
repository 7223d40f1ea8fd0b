"""Cross-build the harness and the extensions, with the builders' own sources and options."""

from __future__ import annotations

import os
import runpy
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.arch.architectures import Architecture

ROOT = Path(__file__).resolve().parents[2]
HARNESS = Path(__file__).with_name("harness")
EMULATOR = Path(__file__).with_name("mio")
CORE = (
    "pymmio/arch/fault.c",
    "pymmio/mmio/mapping.c",
    "pymmio/mmio/doorbell.c",
    "pymmio/mmio/plain.c",
)
WARNINGS = ("-Wall", "-Wextra", "-Werror")
BUILDERS = {  # those of setup.py
    "core": "pymmio/arch/build_core.py",
    "engine": "drivers/pymmio_drivers/nvme/build_engine.py",
    "queue": "pymmio/virtio/queue/build_engine.py",
    "recorder": "pymmio/check/accessors/build_recorder.py",
}
DEADLINE_S = 120.0


class BuildFailed(Exception):
    """The compiler refused; the message is what it said."""


def compile_with(compiler: str, arguments: Sequence[str]) -> None:
    """Run ``compiler`` in the project's folder; raise BuildFailed with what it said."""
    done = subprocess.run(
        [compiler, *arguments],
        cwd=ROOT,
        env=dict(os.environ, LC_ALL="C"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if done.returncode:
        raise BuildFailed(f"{compiler} {' '.join(arguments)}\n{done.stdout}{done.stderr}")


def build_harness(arch: Architecture, folder: Path) -> Path:
    """Return the harness program for ``arch``, built into ``folder``."""
    program = folder / f"harness-{arch.name}"
    sources = [*CORE, *(str(p.relative_to(ROOT)) for p in sorted(HARNESS.glob("*.c")))]
    options = ["-std=gnu11", "-O2", *WARNINGS, "-I.", f"-I{HARNESS}", "-pthread"]
    compile_with(arch.compiler, [*options, *sources, "-o", str(program)])
    return program


def build_emulator(arch: Architecture, folder: Path) -> Path:
    """Return the library that executes memory-I/O instructions of ``arch`` (mio/README.md)."""
    shared = folder / f"libmio-{arch.name}.so"
    sources = [str(p) for p in sorted(EMULATOR.glob("*.c"))]
    options = ["-std=gnu11", "-O2", "-shared", "-fPIC", *WARNINGS, "-pthread"]
    compile_with(arch.compiler, [*options, *sources, "-o", str(shared)])
    return shared


@dataclass(frozen=True)
class Extension:
    """What a cffi builder asks of a compiler."""

    sources: tuple[str, ...]
    options: tuple[str, ...]
    module: str

    @property
    def place(self) -> str:
        """Where it is imported from, in the project."""
        source_root = "" if self.module.startswith("pymmio.") else "drivers/"
        return f"{source_root}{self.module.replace('.', '/')}.abi3.so"


@cache
def extension(name: str, folder: Path) -> Extension:
    """Return the sources and options of the builder ``name``; its C code goes to ``folder``."""
    before = Path.cwd()
    os.chdir(ROOT)  # builders name their sources relative to the project
    try:
        ffi: Any = runpy.run_path(str(ROOT / BUILDERS[name]))["ffi"]
        asked: Any = ffi.distutils_extension(tmpdir=str(folder / name))
    finally:
        os.chdir(before)
    macros: list[tuple[str, str | None]] = asked.define_macros
    return Extension(
        sources=tuple(str(source) for source in asked.sources),
        options=(
            *(f"-I{include}" for include in asked.include_dirs),
            *(f"-D{name}" if value is None else f"-D{name}={value}" for name, value in macros),
            *asked.extra_compile_args,
        ),
        module=asked.name,
    )


def build_extension(arch: Architecture, name: str, folder: Path) -> Path:
    """Return the shared object of the builder ``name`` for ``arch``, built into ``folder``."""
    asked = extension(name, folder)
    shared = folder / f"{name}-{arch.name}.abi3.so"
    compile_with(
        arch.compiler,
        [
            *("-shared", "-fPIC", "-Werror"),
            *asked.options,
            f"-I{python_headers(folder)}",
            *asked.sources,
            *("-o", str(shared)),
        ],
    )
    return shared


# What Python.h needs of pyconfig.h inside the limited API.  Python's own pyconfig.h is that of
# the host; these few are the same on every 64-bit Linux, and the compiler checks that.
PYCONFIG = """\
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 8
#define SIZEOF_LONG_LONG 8
#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_WCHAR_T 4
#define HAVE_SSIZE_T 1
#define HAVE_UNISTD_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_SYS_SELECT_H 1
#define HAVE_SYS_STAT_H 1
#define STDC_HEADERS 1
#define WITH_THREAD 1
_Static_assert(sizeof(short) == 2 && sizeof(int) == 4 && sizeof(long) == 8, "integers");
_Static_assert(sizeof(void *) == 8 && sizeof(__SIZE_TYPE__) == 8, "pointers");
_Static_assert(sizeof(__WCHAR_TYPE__) == 4, "wide characters");
"""


@cache
def python_headers(folder: Path) -> Path:
    """Return a folder like Python's own headers, with a pyconfig.h for all architectures."""
    own = Path(sysconfig.get_path("include"))
    headers = folder / "python-headers"
    headers.mkdir()
    for header in own.iterdir():
        if header.name != "pyconfig.h":
            (headers / header.name).symlink_to(header)
    (headers / "pyconfig.h").write_text(PYCONFIG)
    return headers
