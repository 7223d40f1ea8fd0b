"""The other recorder: QEMU's user emulation, whose plugin sees every load and store.

It needs ``qemu-ARCH`` and a C compiler.  What it shows is the program's instructions as an
emulated processor executes them: libraries may choose other code there than on the real one, and
accesses of more than 8 bytes are seen in pieces of 8.  Storage-to-storage instructions of s390x
(MVC, XC: memcpy and memset) are not shown by it at all, so that nothing is concluded there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pymmio.check.accessors.tools import ToolMissing

__all__ = ["MARKS", "build_plugin", "emulator_for", "read_recordings"]

MARKS = 0x5A5A_5A00_0000
"""Where the page of marks is: far from what anything else is mapped at."""
API_VERSIONS = (1, 2, 3, 4, 5)
BLIND = {"s390x"}
_SOURCE = Path(__file__).with_name("qemu_plugin.c")
_DEADLINE_S = 60.0


def emulator_for(arch: str, *, is_complete: bool = True) -> str:
    """Return the command of the user emulation for ``arch``; raise ToolMissing.

    ``is_complete`` asks for one whose plugins are shown every access.
    """
    if is_complete and arch in BLIND:
        raise ToolMissing(f"qemu-{arch} does not show all accesses")
    command = shutil.which(f"qemu-{arch}") or shutil.which(f"qemu-{arch}-static")
    if command is None:
        raise ToolMissing(f"qemu-{arch} is not installed", hint="apt install qemu-user")
    return command


def build_plugin(emulator: str, probe: Sequence[str], folder: Path) -> Path:
    """Compile the plugin into ``folder`` in the API version that ``emulator`` takes.

    ``probe`` is a program that ends at once, to try it.  Raises ToolMissing without a compiler
    or where the emulator takes no plugins.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ToolMissing("no C compiler for the emulator's plugin", hint="apt install gcc")
    said = ""
    for version in API_VERSIONS:
        plugin = folder / f"recorder-{version}.so"
        flags = ["-std=gnu11", "-O2", "-shared", "-fPIC", f"-DAPI_VERSION={version}"]
        built = _run([compiler, *flags, str(_SOURCE), "-o", str(plugin)])
        if built.returncode:
            raise ToolMissing(f"the emulator's plugin does not compile: {_last(built.stderr)}")
        tried = _run([emulator, "-plugin", plugin_argument(plugin, folder / "probe.txt"), *probe])
        if not tried.returncode:
            return plugin
        said = said or _last(tried.stderr)
    raise ToolMissing(f"{os.path.basename(emulator)} takes no plugin: {said}")


def plugin_argument(plugin: Path, out: Path) -> str:
    """Return what stands behind ``-plugin``."""
    return f"{plugin},marks={MARKS:#x},out={out}"


def read_recordings(out: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the accesses of each recording that ended, as the worker tells them elsewhere."""
    touches: list[dict[str, Any]] = []
    for line in out.read_text().splitlines():
        match line.split():
            case ["B"]:
                touches = []
            case ["E"]:
                yield touches
            case [kind, offset, width]:
                touches.append(
                    {"offset": int(offset), "width": int(width), "write": int(kind == "W")}
                )


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DEADLINE_S
    )


def _last(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1] if lines else "no message"
