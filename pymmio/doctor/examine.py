"""Run all probes; what one of them cannot find out is a finding too, never an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pymmio.doctor import devices, iommu, kernel, memory, processor, qemu, software, vfio
from pymmio.doctor.finding import Finding, Report, State
from pymmio.doctor.host import Host
from pymmio.errors import BadArgument, DeviceNotFound
from pymmio.pci.address import PciAddress

__all__ = ["PROBES", "Probe", "check", "examine"]

_VFIO = "vfio"


@dataclass(frozen=True, slots=True)
class Probe:
    """A function that looks at one thing and yields what it found."""

    topic: str
    name: str
    look: Callable[[Host], Iterable[Finding]]

    needed_for: tuple[str, ...] = ()  #: what is not known to work while it fails

    def run(self, host: Host) -> list[Finding]:
        """Return the findings; an exception becomes one of state UNKNOWN behind the others."""
        found: list[Finding] = []
        try:
            for finding in self.look(host):
                found.append(finding)
        except Exception as error:
            seen = f"the probe failed: {type(error).__name__}: {error}"
            found.append(
                Finding(self.topic, self.name, State.UNKNOWN, seen, _REPORT_IT, self.needed_for)
            )
        return found


_REPORT_IT = "Report it, with the output of pymmio doctor --json"

PROBES = (
    Probe(iommu.TOPIC, "IOMMU", iommu.units, (_VFIO,)),
    Probe(iommu.TOPIC, "groups", iommu.groups, (_VFIO,)),
    Probe(iommu.TOPIC, "kernel arguments", iommu.kernel_arguments),
    Probe(iommu.TOPIC, "interrupt remapping", iommu.interrupt_remapping),
    Probe(vfio.TOPIC, "vfio-pci", vfio.driver, (_VFIO,)),
    Probe(vfio.TOPIC, "interfaces", vfio.interfaces, (_VFIO,)),
    Probe(vfio.TOPIC, "unsafe interrupts", vfio.unsafe_interrupts),
    Probe(vfio.TOPIC, "no-IOMMU mode", vfio.noiommu),
    Probe(devices.TOPIC, "PCI functions", devices.functions, (_VFIO,)),
    Probe(memory.TOPIC, "memlock", memory.memlock, (_VFIO,)),
    Probe(memory.TOPIC, "huge pages", memory.hugepages),
    Probe(processor.TOPIC, "architecture", processor.architecture, (_VFIO,)),
    Probe(processor.TOPIC, "MMIO", processor.mmio),
    Probe(processor.TOPIC, "fault handler", processor.fault_handler),
    Probe(processor.TOPIC, "cache write-back", processor.write_back),
    Probe(kernel.TOPIC, "version", kernel.version),
    Probe(kernel.TOPIC, "lockdown", kernel.lockdown),
    Probe(kernel.TOPIC, "module loading", kernel.module_loading),
    Probe(kernel.TOPIC, "/dev/mem", kernel.dev_mem),
    Probe(qemu.TOPIC, "QEMU", qemu.versions),
    Probe(qemu.TOPIC, "KVM", qemu.kvm),
    Probe(software.TOPIC, "versions", software.versions),
    Probe(software.TOPIC, "device names", software.names),
    Probe(software.TOPIC, "udev", software.udev),
    Probe(software.TOPIC, "allow file", software.allow_file, (_VFIO,)),
    Probe(software.TOPIC, "plug-ins", software.plug_ins),
)


def examine(
    host: Host | None = None,
    *,
    topics: Iterable[str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """Look at this machine, or at ``host``, and return what was found.

    Read-only: files are read, programs named qemu-system-* are asked for their version, and
    the entry points of drivers, models and backends are imported.  Needs no rights.  ``topics``
    chooses; ``progress`` is called with the share that is done.
    """
    machine = Host() if host is None else host
    wanted = None if topics is None else set(topics)
    chosen = [probe for probe in PROBES if wanted is None or probe.topic in wanted]
    report = Report()
    for done, probe in enumerate(chosen, start=1):
        report += probe.run(machine)
        if progress is not None:
            progress(done / len(chosen))
    return report


def check(
    what: str, host: Host | None = None, *, progress: Callable[[float], None] | None = None
) -> Report:
    """Return what ``vfio``, or the device ``vfio:0000:01:00.0``, needs; see ``is_ready``.

    For a device that includes whether this user can open it now.  Raises BadArgument for
    another purpose, UriError for what is no address, DeviceNotFound.
    """
    scheme, colon, target = what.partition(":")
    if scheme != _VFIO or (colon and not target):
        raise BadArgument(
            f"{what!r} cannot be checked", hint="Check vfio, or a device: vfio:0000:01:00.0"
        )
    purposes = [_VFIO]
    if target:
        purposes.append(f"{_VFIO}:{PciAddress.parse(target)}")
    topics = {probe.topic for probe in PROBES if _VFIO in probe.needed_for}
    report = examine(host, topics=topics, progress=progress).needed_for(*purposes)
    is_known = all(f.state is not State.UNKNOWN for f in report.about(devices.TOPIC))
    if target and is_known and not report.needed_for(purposes[-1]):
        raise DeviceNotFound(
            f"there is no PCI device {purposes[-1].removeprefix('vfio:')} that could be opened",
            hint="See `pymmio list`; bridges stay with the kernel",
        )
    return report
