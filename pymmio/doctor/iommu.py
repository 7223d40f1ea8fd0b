"""The IOMMU: whether there is one, which functions it covers, whether it remaps interrupts."""

from __future__ import annotations

from collections.abc import Iterator

from pymmio.doctor.finding import Finding, State
from pymmio.doctor.host import Host

__all__ = [
    "TOPIC",
    "groups",
    "interrupt_remapping",
    "interrupts_are_remapped",
    "kernel_arguments",
    "units",
]

TOPIC = "iommu"

# Names that the kernel's IOMMU drivers give to their units in /sys/class/iommu.
_KINDS = (
    ("dmar", "Intel VT-d"),
    ("ivhd", "AMD-Vi"),
    ("smmu", "Arm SMMU"),
    ("s390-iommu", "zPCI"),
    ("virtio", "virtio-iommu"),
    ("riscv-iommu", "RISC-V IOMMU"),
)

# Tables by which firmware tells of an IOMMU (ACPI 6.5 §5.2.6, reserved signatures).
_TABLES = {
    "DMAR": "Intel VT-d",
    "IVRS": "AMD-Vi",
    "IORT": "Arm SMMU",
    "VIOT": "virtio-iommu",
    "RIMT": "RISC-V IOMMU",
}

# Linux Documentation/admin-guide/kernel-parameters.txt
_ARGUMENTS = ("intel_iommu", "amd_iommu", "iommu", "arm-smmu.disable_bypass", "intremap")
_OFF = frozenset({"off", "nointremap", "noforce"})
_OFF_ARGUMENTS = ("intel_iommu", "amd_iommu", "iommu", "intremap")


def units(host: Host) -> Iterator[Finding]:
    """Yield whether the kernel drives an IOMMU, and if not, who would have to offer it."""
    names = host.listed("/sys/class/iommu")
    if names:
        kinds = sorted({_kind(host, name) for name in names})
        seen = f"{', '.join(kinds)}: {', '.join(names[:4])}"
        if len(names) > 4:
            seen += f" and {len(names) - 4} more"
        yield Finding(TOPIC, "IOMMU", State.OK, seen, needed_for=("vfio",))
        return
    firmware = [kind for table, kind in _TABLES.items() if _has_table(host, table)]
    seen = "none in use"
    if firmware:
        seen += f", though the firmware tells of {' and '.join(firmware)}"
    step = how_to_get_one(host, bool(firmware))
    yield Finding(TOPIC, "IOMMU", State.MISSING, seen, step, needed_for=("vfio",))


def how_to_get_one(host: Host, in_firmware: bool) -> str:
    """Return how this machine gets an IOMMU."""
    off = [word for word in host.kernel_arguments if _switches_off(word)]
    if off:
        rest = "" if in_firmware else f". {_other_steps(host, in_firmware)}"
        return f"Boot without {' '.join(off)}{rest}"
    return _other_steps(host, in_firmware)


def groups(host: Host) -> Iterator[Finding]:
    """Yield how many PCI functions are in an IOMMU group."""
    functions = host.listed("/sys/bus/pci/devices")
    if not functions:
        seen, step = "no PCI function here", "sim: devices need none"
        yield Finding(TOPIC, "groups", State.INFO, seen, step, needed_for=("vfio",))
        return
    outside = [name for name in functions if not host.exists(f"{_PCI}/{name}/iommu_group")]
    real = [number for number in host.listed(_GROUPS) if not _is_made_up(host, number)]
    if not real:
        yield Finding(
            TOPIC,
            "groups",
            State.MISSING,
            f"none: VFIO cannot confine the DMA of any of {len(functions)} PCI functions",
            "Get an IOMMU, see there; sim: devices need none",
            needed_for=("vfio",),
        )
        return
    seen = f"{len(real)} groups, {len(functions) - len(outside)} of {len(functions)} PCI functions"
    if outside:
        yield Finding(
            TOPIC,
            "groups",
            State.WARN,
            f"{seen}; in none: {', '.join(outside[:3])}{' ...' if len(outside) > 3 else ''}",
            "Put a card that is in none into another slot; in a virtual machine, behind the IOMMU",
            needed_for=("vfio",),
        )
    else:
        yield Finding(TOPIC, "groups", State.OK, seen, needed_for=("vfio",))


def kernel_arguments(host: Host) -> Iterator[Finding]:
    """Yield the arguments of the kernel that concern the IOMMU."""
    words = [word for word in host.kernel_arguments if word.partition("=")[0] in _ARGUMENTS] + [
        word for word in host.kernel_arguments if word.startswith("iommu.")
    ]
    off = [word for word in words if _switches_off(word)]
    seen = " ".join(words) or "nothing about the IOMMU"
    if off:
        step = f"Boot without {' '.join(off)}"
        yield Finding(TOPIC, "kernel arguments", State.WARN, seen, step)
    else:
        yield Finding(TOPIC, "kernel arguments", State.INFO, seen)


def interrupt_remapping(host: Host) -> Iterator[Finding]:
    """Yield whether a device's interrupts are confined as its DMA is."""
    name = "interrupt remapping"
    remapped = interrupts_are_remapped(host)
    if remapped:
        yield Finding(TOPIC, name, State.OK, "on")
    elif remapped is None:
        seen = "the kernel decides when a device is opened"
        yield Finding(TOPIC, name, State.INFO, seen)
    elif not host.listed("/sys/class/iommu"):
        yield Finding(TOPIC, name, State.INFO, "none, as there is no IOMMU")
    else:
        yield Finding(
            TOPIC,
            name,
            State.WARN,
            "off: VFIO refuses devices unless unsafe interrupts are allowed",
            "Switch it on in the firmware (QEMU: intel-iommu,intremap=on and "
            "kernel-irqchip=split); else see unsafe interrupts below",
        )


def interrupts_are_remapped(host: Host) -> bool | None:
    """Tell whether interrupts are remapped; None where the machine does not show it.

    On x86 the interrupt chips behind remapping are called IR-IO-APIC and IR-PCI-MSI in
    /proc/interrupts (arch/x86/kernel/apic, drivers/iommu).
    """
    text = host.text_or_none("/proc/interrupts")
    if host.machine() != "x86_64" or text is None:
        return None
    return any(word.startswith("IR-") for word in text.split())


_PCI = "/sys/bus/pci/devices"
_GROUPS = "/sys/kernel/iommu_groups"


def _other_steps(host: Host, in_firmware: bool) -> str:
    if "hypervisor" in host.cpuinfo.get("flags", "").split() and not in_firmware:
        return (
            "This is a virtual machine: give it an IOMMU. QEMU: -machine q35,kernel-irqchip=split "
            "-device intel-iommu,intremap=on (or -device virtio-iommu-pci); then boot with "
            "intel_iommu=on"
        )
    vendor = host.cpuinfo.get("vendor_id", "")
    if vendor == "GenuineIntel":
        return "Boot with intel_iommu=on" + (
            "" if in_firmware else ", after switching VT-d on in the firmware"
        )
    if vendor in ("AuthenticAMD", "HygonGenuine"):
        return "Switch AMD-Vi (IOMMU) on in the firmware; the kernel then uses it by itself"
    if host.machine() == "aarch64":
        return "Switch the SMMU on in the firmware, or use a machine that has one before PCI"
    if host.machine() == "s390x":
        return "Attach a PCI function to this system: zPCI always confines its DMA"
    return "Switch the IOMMU on in the firmware and the kernel"


def _is_made_up(host: Host, group: str) -> bool:
    """Tell whether VFIO made the group up for a device that no IOMMU confines."""
    return host.text_or_none(f"{_GROUPS}/{group}/name") == "vfio-noiommu"


def _kind(host: Host, unit: str) -> str:
    for prefix, kind in _KINDS:
        if unit.startswith(prefix):
            return kind
    try:  # virtio-iommu calls its unit as its parent is called: a PCI address
        parent = host.read_link(f"/sys/class/iommu/{unit}")
    except OSError:
        parent = ""
    return "virtio-iommu" if "virtio" in parent or ":" in unit else unit


def _has_table(host: Host, table: str) -> bool:
    return host.exists(f"/sys/firmware/acpi/tables/{table}")


def _switches_off(word: str) -> bool:
    name, _, value = word.partition("=")
    return name in _OFF_ARGUMENTS and bool(_OFF & set(value.split(",")))
