"""A process that waits in the kernel for a card that is not there; see test_removal.py."""

from __future__ import annotations

import os
import select
import traceback
from time import monotonic

import pymmio
from pymmio.errors import DeviceBusy, DeviceTimeout
from tests.guest.cases.vfio_common import refuses
from tests.guest.inside import NVME, bind_vfio, find_function
from tests.guest.slots import Slot

VS = 0x08
SOON_S = 20.0


def reset_of_a_card_that_is_not_there() -> None:
    """Report what a process saw that then lingers: its threads are still in the kernel."""
    function = find_function(NVME)
    slot = Slot(function)
    bind_vfio(function)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()  # the case's own session ends with the case
        try:
            _hold(f"vfio:{function.address}", slot, writing)
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writing)
    said, deadline = "", monotonic() + SOON_S
    while "closed" not in said:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - monotonic()))
        piece = os.read(reading, 1 << 16).decode() if ready else ""
        assert piece, f"it did not come to its end: {said}"
        said += piece
    print(said)


def _hold(uri: str, slot: Slot, report: int) -> None:
    def say(text: str) -> None:
        os.write(report, f"{text}\n".encode())

    device = pymmio.open_device(uri)
    bar = device.region(0)
    slot.pull_out(is_noticed=False)  # so the kernel waits a minute for the card to be ready
    began = monotonic()
    with refuses(DeviceTimeout, "did not come back within 1 s", "Close the device"):
        device.reset(timeout_s=1.0)
    say(f"reset gave up after {monotonic() - began:.3f} s")
    with refuses(DeviceTimeout, "has not come back from the kernel"):
        bar.read32(VS)
    with refuses(DeviceTimeout, "has not come back from the kernel"):
        device.region(0)
    began = monotonic()
    try:
        device.close(timeout_s=1.0)
    except (DeviceTimeout, DeviceBusy) as error:
        say(f"close: {type(error).__name__}: {error}")
    say(f"closed after {monotonic() - began:.3f} s")
