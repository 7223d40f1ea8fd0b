"""The command line that makes QEMU the machine around one device."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.backend.qtest.device_words import DeviceWords
from pymmio.backend.qtest.machine.layout import (
    BELL_DEVICE,
    LOW_RAM_LIMIT,
    PORT_DEVICE,
    RamPlan,
)
from pymmio.backend.qtest.options import MachineKind, Options

__all__ = ["BELL_VECTORS", "Descriptors", "build"]

BELL_VECTORS = 256
"""How many events each peer of the bell has: its register has 8 bits for them."""

GIB = 1 << 30
_PORT = {
    MachineKind.Q35: f"pcie-root-port,id=upstream,chassis=1,hotplug=off,addr={PORT_DEVICE:#x}",
    MachineKind.PC: f"pci-bridge,id=upstream,chassis_nr=1,shpc=off,addr={PORT_DEVICE:#x}",
}
_UNUSED = {
    # Parts that cost time to start, or raise interrupts of their own.
    MachineKind.Q35: "smbus=off,sata=off,",
    MachineKind.PC: "",
}
_MEMORY_PROPERTY = {"nvme": "pmrdev"}
_PLACED = ("virtio-pmem-pci", "virtio-pmem")
"""Models whose memory lies beside RAM instead of in a BAR."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Numbers of the open files that QEMU inherits."""

    qtest: int
    bell: int
    ram: int
    rom: int

    def all(self) -> tuple[int, ...]:
        """Return all of them."""
        return self.qtest, self.bell, self.ram, self.rom


def build(
    binary: str, options: Options, plan: RamPlan, fds: Descriptors, memory_size: int | None
) -> list[str]:
    """Return the arguments.  ``memory_size`` is that of the file of option ``memory``.

    The files are named by ``/proc/self/fd``: there is none on disk but those of the user.
    """
    kind = options.machine
    machine = (
        f"{kind},accel=tcg,memory-backend=ram,max-ram-below-4g={LOW_RAM_LIMIT},"
        f"{_UNUSED[kind]}hpet=off,pit=off,vmport=off,usb=off"
    )
    arguments = [
        binary,
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", machine),
        *("-object", _memory_backend("ram", f"/proc/self/fd/{fds.ram}", options.ram)),
        *("-m", _ram(options, plan, memory_size)),
        *("-bios", f"/proc/self/fd/{fds.rom}"),
        *("-qtest", f"unix:fd={fds.qtest}", "-qtest-log", "none"),
    ]
    if options.iommu:
        arguments += ["-device", "intel-iommu,intremap=off,aw-bits=39"]
    arguments += [
        *("-device", _PORT[kind]),
        *("-chardev", f"socket,id=bell,fd={fds.bell}"),
        "-device",
        f"ivshmem-doorbell,chardev=bell,vectors={BELL_VECTORS},addr={BELL_DEVICE:#x}",
    ]
    properties = {}
    if options.drive is not None:
        file = options.drive.replace(",", ",,")
        arguments += ["-drive", f"id=drive0,if=none,format={options.format},file={file}"]
        properties["drive"] = "drive0"
    if options.memory is not None:
        assert memory_size is not None
        arguments += ["-object", _memory_backend("memory0", options.memory, memory_size)]
        properties[_MEMORY_PROPERTY.get(options.model, "memdev")] = "memory0"
        if is_placed(options):
            properties["memaddr"] = f"{plan.device_memory:#x}"
    if options.server is not None:
        path = options.server.replace(",", ",,")
        arguments += ["-chardev", f"socket,id=server0,path={path}"]
        properties["chardev"] = "server0"
    device = DeviceWords(options.device)
    if "romfile" not in device.properties:
        properties["romfile"] = ""  # of no use here, and often in a package that is missing
    properties |= {"bus": "upstream", "addr": "0", "id": "device"}
    return [*arguments, "-device", device.with_properties(properties)]


def is_placed(options: Options) -> bool:
    """Whether the device's memory lies beside RAM, at RamPlan.device_memory."""
    return options.memory is not None and options.model in _PLACED


def _memory_backend(name: str, path: str, size: int) -> str:
    return f"memory-backend-file,id={name},share=on,size={size},mem-path={path.replace(',', ',,')}"


def _ram(options: Options, plan: RamPlan, memory_size: int | None) -> str:
    if not is_placed(options):
        return f"size={options.ram}B"
    assert memory_size is not None
    room = -(-memory_size // GIB) * GIB + GIB  # QEMU aligns within it
    return f"size={options.ram}B,slots=1,maxmem={options.ram + room}B"
