"""The processor: how device memory is reached, who handles its faults, cache write-back."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from pymmio.arch import Arch, fault_handler_state
from pymmio.doctor.finding import Finding, State
from pymmio.doctor.host import Host

__all__ = ["TOPIC", "architecture", "fault_handler", "mmio", "write_back"]

TOPIC = "processor"

# getauxval(3): numbers of the entries
_AT_HWCAP = 16
_AT_HWCAP2 = 26

_S390_PCI_MIO = 1 << 21  # AT_HWCAP; Linux arch/s390/include/asm/elf.h
_ARM_DCPOP = 1 << 16  # AT_HWCAP; Linux arch/arm64/include/uapi/asm/hwcap.h
_ARM_DCPODP = 1 << 0  # AT_HWCAP2; the same
_PPC_ARCH_3_1 = 0x0004_0000  # AT_HWCAP2; Linux arch/powerpc/include/uapi/asm/cputable.h

# The x86 flags of /proc/cpuinfo, best first: CLWB keeps the line in the cache.
_X86_WRITE_BACK = ("clwb", "clflushopt", "clflush")
_OTHER_NAMES = {"arm64": "aarch64", "amd64": "x86_64"}


def architecture(host: Host) -> Iterator[Finding]:
    """Yield whether pymmio has accessors for this architecture."""
    arch = _facts(host)
    if arch is None:
        seen = f"{host.machine()}: pymmio has no accessors for it"
        step = "Add pymmio/arch/<arch>/io.h and its facts"
        yield Finding(TOPIC, "architecture", State.MISSING, seen, step, needed_for=("vfio",))
    else:
        seen = f"{arch.name}, {arch.byteorder}-endian"
        yield Finding(TOPIC, "architecture", State.OK, seen, needed_for=("vfio",))


def mmio(host: Host) -> Iterator[Finding]:
    """Yield how one access to device memory is made on this machine."""
    arch = _facts(host)
    if arch is None:
        yield Finding(TOPIC, "MMIO", State.UNKNOWN, f"not known for {host.machine()}")
        return
    if arch.mmio == "load/store":
        yield Finding(TOPIC, "MMIO", State.OK, f"load or store on a mapping: {arch.access}")
        return
    has_mio = bool(host.auxiliary_vector.get(_AT_HWCAP, 0) & _S390_PCI_MIO)
    seen = "PCI memory-I/O instructions (pcimio)" if has_mio else "system calls 352 and 353"
    step = ""
    if not has_mio:
        off = "pci=nomio" in host.kernel_arguments
        step = "Boot without pci=nomio" if off else "z15 or newer, not as a guest, has instructions"
    if arch.has_accessors:
        yield Finding(TOPIC, "MMIO", State.OK if has_mio else State.INFO, seen, step)
    else:
        yield Finding(
            TOPIC,
            "MMIO",
            State.WARN,
            f"the machine offers {seen}; this version: {arch.access}",
            'Open devices with access="pread"',
        )


def fault_handler(host: Host) -> Iterator[Finding]:
    """Yield who handles the signals of device faults in this process now."""
    states = fault_handler_state()
    seen = ", ".join(f"{signal}: {who}" for signal, who in states.items())
    if set(states.values()) == {"pymmio"}:
        yield Finding(TOPIC, "fault handler", State.OK, f"installed ({seen})")
    elif "other" in states.values():
        yield Finding(
            TOPIC,
            "fault handler",
            State.INFO,
            f"another handler is there ({seen}); pymmio's goes on top at the first mapping",
            "Do not call faulthandler.enable() after a device is open",
        )
    else:
        seen = f"put in at the first mapping ({seen})"
        yield Finding(TOPIC, "fault handler", State.INFO, seen)


def write_back(host: Host) -> Iterator[Finding]:
    """Yield the instructions that write a cache line back, first the one that pymmio.dax takes."""
    name = "cache write-back"
    machine = _OTHER_NAMES.get(host.machine(), host.machine())
    if machine == "s390x":
        yield Finding(TOPIC, name, State.OK, "none needed")
        return
    if machine not in _WRITE_BACK:
        yield Finding(TOPIC, name, State.UNKNOWN, f"not known for {machine}")
        return
    found = _WRITE_BACK[machine](host)
    if found:
        yield Finding(TOPIC, name, State.OK, ", ".join(found))
    else:
        step = "Persistent memory: flush with fsync or msync instead"
        yield Finding(TOPIC, name, State.INFO, "none that this process may use", step)


def _x86(host: Host) -> list[str]:
    flags = host.cpuinfo.get("flags", "").split()
    return [flag.upper() for flag in _X86_WRITE_BACK if flag in flags]


def _aarch64(host: Host) -> list[str]:
    vector = host.auxiliary_vector
    found = ["DC CVAP"] if vector.get(_AT_HWCAP, 0) & _ARM_DCPOP else []
    found += ["DC CVADP"] if vector.get(_AT_HWCAP2, 0) & _ARM_DCPODP else []
    return [*found, "DC CVAC"]  # Linux allows it to programs (SCTLR_EL1.UCI)


def _ppc64le(host: Host) -> list[str]:
    """Return dcbstps and dcbfps of Power ISA 3.1; older ones do dcbst and dcbf for them."""
    is_3_1 = host.auxiliary_vector.get(_AT_HWCAP2, 0) & _PPC_ARCH_3_1
    return ["DCBSTPS", "DCBFPS"] if is_3_1 else ["DCBST", "DCBF"]


def _riscv64(host: Host) -> list[str]:
    extensions = host.cpuinfo.get("isa", "").lower().split("_")
    return ["CBO.CLEAN (Zicbom)"] if "zicbom" in extensions else []


_WRITE_BACK = {"x86_64": _x86, "aarch64": _aarch64, "ppc64le": _ppc64le, "riscv64": _riscv64}


def _facts(host: Host) -> Arch | None:
    """Return the facts of the machine's architecture, which need not be this process's."""
    machine = _OTHER_NAMES.get(host.machine(), host.machine())
    try:
        module = importlib.import_module(f"pymmio.arch.{machine}")
    except ModuleNotFoundError:
        return None
    facts = getattr(module, "ARCH", None)
    return facts if isinstance(facts, Arch) else None
