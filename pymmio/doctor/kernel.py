"""The kernel: its version, and settings that take something away."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pymmio.backend.vfio.qword import is_one_access
from pymmio.doctor.finding import Finding, State
from pymmio.doctor.host import Host

__all__ = ["TOPIC", "dev_mem", "lockdown", "module_loading", "version"]

TOPIC = "kernel"
_S390_MAPS_BARS = (6, 15)
_LOCKDOWN = "/sys/kernel/security/lockdown"
_MODULES_DISABLED = "/proc/sys/kernel/modules_disabled"


def version(host: Host) -> Iterator[Finding]:
    """Yield the release and what depends on it."""
    release, machine = host.release(), host.machine()
    seen = f"Linux {release}"
    number = _number(release)
    if machine == "s390x" and number is not None and number < _S390_MAPS_BARS:
        seen += ": vfio-pci maps no PCI memory on s390x"
        step = 'Linux 6.15 or newer; until then open devices with access="pread"'
        yield Finding(TOPIC, "version", State.WARN, seen, step)
    elif is_one_access(release, machine):
        yield Finding(TOPIC, "version", State.OK, f"{seen}; 64-bit accesses by pread are single")
    else:
        seen += "; 64-bit accesses by pread would be split, so they are refused"
        step = "Mapped regions have them; by pread with a newer kernel (x86: Linux 6.14)"
        yield Finding(TOPIC, "version", State.INFO, seen, step)


def lockdown(host: Host) -> Iterator[Finding]:
    """Yield whether the kernel forbids even root some ways to hardware."""
    text = host.text_or_none(_LOCKDOWN)
    match = re.search(r"\[(\w+)\]", text or "")
    if match is None:
        yield Finding(TOPIC, "lockdown", State.INFO, "not to be seen in this kernel")
    elif match[1] == "none":
        yield Finding(TOPIC, "lockdown", State.OK, "none")
    else:
        yield Finding(
            TOPIC,
            "lockdown",
            State.WARN,
            f"{match[1]}: /dev/mem and the resource files of sysfs cannot be mapped",
            "VFIO works all the same; the rest needs secure boot off, or a boot without lockdown=",
        )


def module_loading(host: Host) -> Iterator[Finding]:
    """Yield whether modules such as vfio-pci can still be loaded."""
    value = host.text_or_none(_MODULES_DISABLED)
    if value is None and host.is_configured("MODULES") is False:
        yield Finding(TOPIC, "module loading", State.INFO, "this kernel has no modules")
    elif value is None:
        yield Finding(TOPIC, "module loading", State.INFO, "not to be seen in this kernel")
    elif value == "1":
        seen, step = (
            "off until the next boot",
            "Reboot, and load vfio-pci before it is switched off",
        )
        yield Finding(TOPIC, "module loading", State.WARN, seen, step)
    elif "nomodule" in host.kernel_arguments:
        seen, step = "off: booted with nomodule", "Boot without nomodule"
        yield Finding(TOPIC, "module loading", State.WARN, seen, step)
    else:
        yield Finding(TOPIC, "module loading", State.OK, "on")


def dev_mem(host: Host) -> Iterator[Finding]:
    """Yield how far /dev/mem reaches; needed only for memory that is in no BAR."""
    config = host.kernel_config
    if config is None:
        seen = "the kernel's configuration is not readable, so its limits are not known"
        yield Finding(TOPIC, "/dev/mem", State.INFO, seen)
        return
    if "DEVMEM" not in config:
        yield Finding(TOPIC, "/dev/mem", State.INFO, "not in this kernel; VFIO does not need it")
    elif "IO_STRICT_DEVMEM" in config:
        seen = "only what no driver owns (IO_STRICT_DEVMEM)"
        step = "Unbind the driver that owns the range, or boot with iomem=relaxed"
        relaxed = "iomem=relaxed" in host.kernel_arguments
        yield Finding(
            TOPIC,
            "/dev/mem",
            State.INFO,
            "limits are off: booted with iomem=relaxed" if relaxed else seen,
            "" if relaxed else step,
        )
    elif "STRICT_DEVMEM" in config:
        yield Finding(TOPIC, "/dev/mem", State.INFO, "device memory only (STRICT_DEVMEM)")
    else:
        seen = "all memory (no STRICT_DEVMEM); pymmio never touches System RAM there"
        yield Finding(TOPIC, "/dev/mem", State.INFO, seen)


def _number(release: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", release)
    return None if match is None else (int(match[1]), int(match[2]))
