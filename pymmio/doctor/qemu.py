"""QEMU: which programs are there and how old they are.

The only programs that the doctor starts; each has a deadline, and none gets a device.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pymmio.doctor.finding import Finding, State
from pymmio.doctor.host import Host

__all__ = ["DEADLINE_S", "TOPIC", "kvm", "versions"]

TOPIC = "qemu"
DEADLINE_S = 5.0
"""What one program may take to say its version."""

_PROGRAM = re.compile(r"qemu-system-[a-z0-9_]+")
_SAID = re.compile(r"QEMU emulator version (\d+)\.(\d+)\S*")
_VFIO_USER = (10, 1)  # QEMU 10.1 release notes: vfio-user-pci
_KVM = "/dev/kvm"


def versions(host: Host) -> Iterator[Finding]:
    """Yield each qemu-system-* of the search path with what it says of its version."""
    programs = list(_programs(host))
    if not programs:
        yield Finding(
            TOPIC,
            "qemu-system-*",
            State.INFO,
            "none in PATH",
            "Only for devices and guests that QEMU emulates: install qemu-system-x86",
        )
        return
    with ThreadPoolExecutor(max_workers=4) as pool:
        yield from pool.map(_version, programs)


def kvm(host: Host) -> Iterator[Finding]:
    """Yield whether QEMU can run a guest of this architecture at full speed."""
    if not host.exists(_KVM):
        seen, step = f"no {_KVM}: QEMU emulates the processor, which is slower", ""
        yield Finding(TOPIC, "KVM", State.INFO, seen, step)
    elif host.may_use(_KVM):
        yield Finding(TOPIC, "KVM", State.OK, f"{_KVM} is for user {host.user_id()}")
    else:
        seen = f"{_KVM} is not for user {host.user_id()}"
        yield Finding(TOPIC, "KVM", State.INFO, seen, "As root: usermod -a -G kvm USER")


def _programs(host: Host) -> Iterator[str]:
    """Yield the paths, each name and each file once, in the order of the search path."""
    names, files = set(), set()
    for folder in host.search_path:
        try:
            listed = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in listed:
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            if name in names or real in files or not _PROGRAM.fullmatch(name):
                continue
            if os.path.isfile(path) and os.access(path, os.X_OK):
                names.add(name)
                files.add(real)
                yield path


def _version(program: str) -> Finding:
    name = os.path.basename(program)
    again = f"Run it by hand: {program} --version"
    try:
        said = _say_version(program)
    except subprocess.TimeoutExpired:
        seen = f"{program} said nothing for {DEADLINE_S:g} s"
        return Finding(TOPIC, name, State.UNKNOWN, seen, again)
    except OSError as error:
        return Finding(TOPIC, name, State.UNKNOWN, f"{program} does not run: {error}", again)
    match = _SAID.search(said)
    if match is None:
        first = said.strip().partition("\n")[0][:80] or "nothing"
        return Finding(TOPIC, name, State.UNKNOWN, f"{program} said: {first}", again)
    number = match[0].removeprefix("QEMU emulator version ")
    if (int(match[1]), int(match[2])) < _VFIO_USER:
        step = "Only QEMU 10.1 and newer have vfio-user-pci, to plug in a model that is served"
        return Finding(TOPIC, name, State.OK, f"{number} ({program})", step)
    return Finding(TOPIC, name, State.OK, f"{number} ({program})")


def _say_version(program: str) -> str:
    with open(os.devnull, "rb") as nothing:
        done = subprocess.run(
            [program, "--version"],
            stdin=nothing,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE_S,
            check=False,
        )
    return done.stdout.decode(errors="replace")
