"""A copy of the project beside a foreign Python: extensions cross-built, pure packages borrowed.

The stage looks like a virtual environment.  Its ``bin/python`` is a script of this machine, so
that tests may start ``sys.executable`` as everywhere: the kernel runs the script, and the script
qemu-user.
"""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from tests.arch.architectures import ARCHITECTURES, Architecture
from tests.arch.build import BUILDERS, ROOT, build_emulator, build_extension, extension
from tests.arch.python import MOUNT_POINTS
from tests.guest.cache import cache_root, digest

S390X = ARCHITECTURES["s390x"]
COPIED = ("pymmio", "drivers", "tests", "docs", "benchmarks", "pyproject.toml", "README.md")
CHECKOUT = "checkout"  # a file of the stage that says whose it is
LEFT_OUT = {"__pycache__", "_build", ".pytest_cache", ".hypothesis"}
# Distributions with machine code of this machine.  Debian brings cffi's back-end and Hypothesis;
# tests that need the others are left out by name (plugin.py).
FOREIGN = {"capstone", "cffi", "hypothesis", "matplotlib"}


class ForeignCode(Exception):
    """A distribution cannot be borrowed for another architecture."""


def name_of_stage(arch: Architecture = S390X) -> str:
    """Return the name of this checkout's stage in the cache; hold the lock of it meanwhile."""
    return f"stage-{arch.name}-{digest(str(ROOT))}"


def make(root: Path, scratch: Path, arch: Architecture = S390X) -> Path:
    """Bring the stage up to date and return its Python; ``root`` is that of tests.arch.python.

    The stage is kept, with the byte code that the emulated Python made.  ``scratch`` gets what
    compilers leave.  Raises BuildFailed or ForeignCode.
    """
    _drop_stages_of_checkouts_that_are_gone()
    stage = cache_root() / name_of_stage(arch)
    project = stage / "project"
    library = _environment(stage, root, arch)
    (stage / CHECKOUT).write_text(f"{ROOT}\n")
    _copy_project(project)
    for name in BUILDERS:
        built = build_extension(arch, name, scratch)
        shutil.copy2(built, project / extension(name, scratch).place)
    if "mio" in arch.ways:
        shutil.copy2(build_emulator(arch, scratch), stage / "libmio.so")
    _copy_distributions(library)
    _describe_project(library, project)
    return stage / "bin/python"


def _drop_stages_of_checkouts_that_are_gone() -> None:
    for note in cache_root().glob(f"stage-*/{CHECKOUT}"):
        if not Path(note.read_text().strip()).exists():
            shutil.rmtree(note.parent, ignore_errors=True)


def _system(stage: Path, root: Path) -> Path:
    """Return what stands for the root: without /proc and the like, which are this machine's."""
    system = stage / "system"
    system.mkdir(parents=True, exist_ok=True)
    for entry in root.iterdir():
        link = system / entry.name
        if entry.name in MOUNT_POINTS or (link.is_symlink() and link.readlink() == entry):
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(entry)
    return system


def _environment(stage: Path, root: Path, arch: Architecture) -> Path:
    """Make the folders of a virtual environment; return its site-packages."""
    root = _system(stage, root)
    (python,) = (root / "usr/bin").glob("python3.[0-9]*[0-9]")
    library = stage / "lib" / python.name / "site-packages"
    library.mkdir(parents=True, exist_ok=True)
    (stage / "bin").mkdir(exist_ok=True)
    (stage / "pyvenv.cfg").write_text(
        f"home = {root}/usr/bin\ninclude-system-site-packages = true\n"
    )
    script = stage / "bin/python"
    emulator = shlex.join([f"qemu-{arch.name}", "-L", str(root), "-0", str(script), str(python)])
    # LD_PRELOAD is for the emulated program: not for the shell, nor for qemu-user itself.
    script.write_text(
        "#!/bin/sh\n"
        # Pointers are signed in every function of Debian's programs; QEMU's own, cheaper cipher.
        + ("export QEMU_CPU=max,pauth-impdef=on\n" if arch.name == "aarch64" else "")
        + 'if [ -n "$EMULATED_PRELOAD" ]; then\n'
        f'    exec {emulator.replace("-L", "-E LD_PRELOAD=$EMULATED_PRELOAD -L", 1)} "$@"\n'
        "fi\n"
        f'exec {emulator} "$@"\n'
    )
    script.chmod(0o755)
    return library


def _files(top: Path) -> Iterator[Path]:
    if top.is_file():
        yield top
        return
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        yield from (Path(folder, name) for name in names if not name.endswith((".so", ".o")))


def _copy_project(project: Path) -> None:
    """Copy what changed, delete what is gone; byte code of what stayed is kept."""
    wanted = {file.relative_to(ROOT) for name in COPIED for file in _files(ROOT / name)}
    for file in wanted:
        _copy_if_changed(ROOT / file, project / file)
    for there in list(_files(project)):
        if there.relative_to(project) not in wanted:
            there.unlink()


def _copy_if_changed(source: Path, target: Path) -> None:
    if target.exists():
        old, new = target.stat(), source.stat()
        if (old.st_size, old.st_mtime_ns) == (new.st_size, new.st_mtime_ns):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _needed_distributions() -> Iterator[importlib.metadata.Distribution]:
    """Yield what the project and its tests need, and what that needs, without FOREIGN."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [*declared["dependencies"], *declared["optional-dependencies"]["test"]]
    seen = set(FOREIGN)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = requirement.name.lower().replace("_", "-")
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        found = importlib.metadata.distribution(name)
        yield found
        waiting += found.requires or []


def _copy_distributions(library: Path) -> None:
    for found in _needed_distributions():
        files = [file for file in found.files or () if ".." not in file.parts]
        if any(file.suffix == ".so" for file in files):
            raise ForeignCode(f"{found.name} is machine code here: add it to FOREIGN")
        for file in files:
            if file.suffix != ".pyc":
                _copy_if_changed(Path(str(found.locate_file(file))), library / file)


def _describe_project(library: Path, project: Path) -> None:
    """Say that pymmio is installed: its folders, its version and its entry points."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (library / "project.pth").write_text(f"{project}\n{project}/drivers\n")
    info = library / f"pymmio-{declared['version']}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: pymmio\nVersion: {declared['version']}\n"
    )
    groups = {"console_scripts": declared["scripts"], **declared["entry-points"]}
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in entries.items())
            for group, entries in groups.items()
        )
    )
