"""Start a QEMU for one device, and set up the machine around it."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

from pymmio.backend.qtest import backing
from pymmio.backend.qtest.binary import find_qemu
from pymmio.backend.qtest.command_line import Descriptors, build
from pymmio.backend.qtest.config import DeviceConfig
from pymmio.backend.qtest.dma import QtestDma
from pymmio.backend.qtest.endings import ended, refused
from pymmio.backend.qtest.handle import QtestHandle
from pymmio.backend.qtest.irq import QtestIrq
from pymmio.backend.qtest.machine.bars import find_rom_size, place_bars
from pymmio.backend.qtest.machine.bell import Bell
from pymmio.backend.qtest.machine.device_memory import DeviceMemory
from pymmio.backend.qtest.machine.function import PciFunction, config_access
from pymmio.backend.qtest.machine.iommu import Iommu
from pymmio.backend.qtest.machine.layout import BELL, BELL_DEVICE, PAGE, PORT_DEVICE, RamPlan
from pymmio.backend.qtest.machine.memory import Ram
from pymmio.backend.qtest.machine.port import DEVICE_BUS, set_up_port
from pymmio.backend.qtest.options import MachineKind, Options
from pymmio.backend.qtest.process import QemuProcess
from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.backend.qtest.relay import Relay
from pymmio.errors import DeviceGone, PymmioError, Unsupported, UriError
from pymmio.pci.bars import size_bars
from pymmio.pci.caps import walk_capabilities
from pymmio.pci.header import CONFIG_SIZES, HeaderLayout, Offset
from pymmio.uri import DeviceUri

__all__ = ["open"]

_LINES = {
    # Which inputs of the I/O APIC the PIRQs are: by wire, or as set_up_pirqs has it.
    MachineKind.Q35: frozenset(range(16, 24)),
    MachineKind.PC: frozenset({11}),
}
_ISA_BRIDGE = 1  # device on bus 0 of the pc machine
_PIRQ_ROUTES, _ALL_TO_11 = 0x60, 0x0B0B0B0B  # Intel 82371SB (PIIX3) datasheet, PIRQRC
_MEMORY_BARS = {"ivshmem-plain": 2}
"""Models whose memory, a file of the host, is a BAR."""

_NO_DEVICE = 0xFFFF
_LAYOUT_MASK = 0x7F


def open(uri: DeviceUri) -> QtestHandle:
    """Start QEMU with the device that the URI names; it ends with the handle, or this process.

    Raises UriError, DeviceNotFound, DeviceBusy, PermissionRefused and Unsupported, with QEMU's
    own words where it ended by itself.
    """
    options = Options.of(uri)
    binary = find_qemu(options.binary)
    with ExitStack() as made:
        backing.prepare(options, made.callback)
        memory_size = backing.memory_size(options)
        try:
            handle = _start(uri, options, binary, memory_size)
        except PymmioError:  # some of which are OSErrors as well
            raise
        except OSError as error:
            raise Unsupported(
                f"{uri}: cannot make what QEMU takes: {error.strerror}",
                hint="Raise the limit of open files (ulimit -n)",
            ) from error
        made.pop_all()  # the files stay
    return handle


def _start(uri: DeviceUri, options: Options, binary: str, memory_size: int | None) -> QtestHandle:
    name = f"{uri.scheme}:{options.model}"
    plan = RamPlan(options.ram, has_iommu=options.iommu)
    with ExitStack() as undo:
        ram = Ram(options.ram)
        undo.callback(ram.close)
        memory = None
        if options.memory is not None and memory_size is not None:
            memory = DeviceMemory(options.memory, memory_size, plan.device_memory)
            undo.callback(memory.close)
        ours, theirs = socket.socketpair()
        undo.callback(ours.close)
        with theirs, ExitStack() as given:
            bell_ours, bell_theirs = socket.socketpair()
            given.callback(bell_theirs.close)
            undo.callback(bell_ours.close)
            bell = Bell(bell_ours, options.timeout_s)
            rom = _make_rom()
            given.callback(os.close, rom)
            fds = Descriptors(theirs.fileno(), bell_theirs.fileno(), ram.fd, rom)
            process = QemuProcess(build(binary, options, plan, fds, memory_size), fds=fds.all())
            undo.callback(process.stop)
        channel = QtestChannel(
            ours, timeout_s=options.timeout_s, lost=lambda seen: ended(name, process, seen)
        )
        undo.callback(channel.close)
        try:
            channel.read(0, 4)
        except DeviceGone:
            raise refused(uri, process) from None
        function, port = _set_up_machine(options, channel, bell)
        iommu = None
        if options.iommu:
            iommu = Iommu(channel, ram.view, plan)
            iommu.allow(BELL, PAGE)
            iommu.switch_on()
        _check_endpoint(uri, function)
        capabilities = walk_capabilities(function)
        bars = place_bars(size_bars(function), find_rom_size(function))
        config = DeviceConfig(function, bars, capabilities)
        relay = Relay(channel, _LINES[options.machine], name)
        undo.callback(relay.close)
        handle = QtestHandle(
            name=name,
            binary=binary,
            process=process,
            channel=channel,
            port=port,
            function=function,
            config=config,
            bars=bars,
            irq=QtestIrq(name, channel, config, capabilities, bars, bell, relay),
            dma=QtestDma(name, ram, plan, iommu),
            relay=relay,
            memory=memory,
            memory_bar=_MEMORY_BARS.get(options.model),
        )
        handle.take_over(undo.pop_all())
        return handle


def _set_up_machine(
    options: Options, channel: QtestChannel, bell: Bell
) -> tuple[PciFunction, PciFunction]:
    """Make everything reachable; return the device and the port that it is behind."""
    access = config_access(channel, options.machine)
    port = PciFunction(access, 0, PORT_DEVICE)
    set_up_port(port)
    bell.switch_on(PciFunction(access, 0, BELL_DEVICE), channel)
    size = CONFIG_SIZES[1]
    if options.machine is MachineKind.PC:
        PciFunction(access, 0, _ISA_BRIDGE).write32(_PIRQ_ROUTES, _ALL_TO_11)
        size = CONFIG_SIZES[0]
    return PciFunction(access, DEVICE_BUS, 0, size), port


def _check_endpoint(uri: DeviceUri, function: PciFunction) -> None:
    if function.read16(Offset.VENDOR_ID) == _NO_DEVICE:
        raise UriError(
            f"{uri}: QEMU started, and there is no PCI device where it should be",
            hint="The model is no PCI device: see qemu-system-x86_64 -device help",
        )
    layout = function.read8(Offset.HEADER_TYPE) & _LAYOUT_MASK
    if layout != HeaderLayout.ENDPOINT:
        raise Unsupported(
            f"{uri} is a bridge, which nobody drives alone",
            hint="Name the device that would be behind it",
        )


def _make_rom() -> int:
    """Return a file with what the processor does: halt, with interrupts off, for ever."""
    image = bytearray(b"\xf4" * 0x10000)  # hlt
    image[0xFFF0:0xFFF4] = b"\xfa\xf4\xeb\xfd"  # the reset vector: cli; hlt; jmp to the hlt
    rom = os.memfd_create("pymmio-qemu-rom", os.MFD_CLOEXEC)
    try:
        os.write(rom, image)
    except BaseException:
        os.close(rom)
        raise
    return rom
