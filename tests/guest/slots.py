"""Take cards out of the slots of the guest ``slots`` and put them back, in each way there is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from tests.guest.inside import NVME, PCI, Function, bind_vfio, find_functions, wait_until
from tests.guest.monitor import Monitor

PLUG_S = 20.0  # pciehp lets 5 s pass after the attention button, which QEMU presses

# PCI Express 5.0 §7.5.3.10, Slot Control
SLOT_CONTROL = 0x18
PRESENCE_ENABLE, INTERRUPT_ENABLE = 1 << 3, 1 << 5
INDICATOR_OFF, POWER_OFF = 3 << 8, 1 << 10
PCI_EXPRESS, CAPABILITIES = 0x10, 0x34


@contextmanager
def card() -> Iterator[Function]:
    """Bind the NVMe card to vfio-pci for the block; plug it in again if it is gone then."""
    found = find_functions(NVME)
    assert len(found) == 1, found
    slot = Slot(found[0])
    bind_vfio(found[0])
    try:
        yield found[0]
    finally:
        come_back(found[0], slot)


def come_back(function: Function, slot: Slot) -> None:
    """Have the card in its slot and bound to the kernel's driver."""
    if function.path.exists():
        (function.path / "driver_override").write_text("\n")
        if function.driver == "vfio-pci":
            (function.path / "driver" / "unbind").write_text(function.address)
        if function.driver is None:
            (PCI / "drivers_probe").write_text(function.address)
    else:
        with Monitor() as monitor:
            devices = monitor.command("qom-list", path="/machine/peripheral")
            assert isinstance(devices, list)
            if not any(device["name"] == "nvme-card" for device in devices):
                wait_until(slot.is_off, PLUG_S, "the empty slot to be switched off")
                plug_in(monitor)
            else:
                (PCI / "rescan").write_text("1")
    wait_until(lambda: function.driver == "nvme", PLUG_S, f"{function.address} to come back")


def plug_in(monitor: Monitor) -> None:
    """Put the card into its slot, as QEMU's user does."""
    monitor.command(
        "device_add",
        driver="nvme",
        id="nvme-card",
        serial="pymmio-0",
        drive="nvme0",
        bus="slot0",
    )


class Slot:
    """The root port above a function, through its configuration space in sysfs."""

    def __init__(self, function: Function) -> None:
        self._config = function.path.resolve().parent / "config"
        data = self._config.read_bytes()
        at = data[CAPABILITIES]
        while data[at] != PCI_EXPRESS:
            at = data[at + 1]
        self._control = at + SLOT_CONTROL

    def pull_out(self, *, is_noticed: bool = True) -> float:
        """Take the card out without asking anybody; return when that was (monotonic).

        QEMU does so when the slot's power goes off.  The kernel is told only when power is on
        again (else it takes the card for removed in order); without that it never notices.
        """
        control = self._read()
        self._write(control & ~INTERRUPT_ENABLE | POWER_OFF | INDICATOR_OFF)
        pulled = monotonic()
        if is_noticed:
            self._write(control | PRESENCE_ENABLE | INTERRUPT_ENABLE)
        return pulled

    def is_off(self) -> bool:
        """Whether the kernel has dealt with a card that went: power and indicator are off."""
        return self._read() & (POWER_OFF | INDICATOR_OFF) == POWER_OFF | INDICATOR_OFF

    def _read(self) -> int:
        with self._config.open("rb", buffering=0) as config:
            return int.from_bytes(os.pread(config.fileno(), 2, self._control), "little")

    def _write(self, value: int) -> None:
        with self._config.open("r+b", buffering=0) as config:
            os.pwrite(config.fileno(), value.to_bytes(2, "little"), self._control)


@contextmanager
def writer(path: Path, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """Write to a file of sysfs from another process, which may block there.

    The process that holds a device would wait for itself.
    """
    process = subprocess.Popen(["/bin/sh", "-c", f"echo {text} > {path}"])
    try:
        yield process
    finally:
        process.wait(PLUG_S)
