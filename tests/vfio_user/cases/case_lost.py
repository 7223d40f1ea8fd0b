"""A server that dies in the middle: errors in the guest in good time, and a way back.

QEMU 11.1 aborts when such a device is taken out of its slot, and at times when an IOMMU takes
mappings back (docs/access-findings.rst): the guest has no IOMMU, the dead disk stays where it is.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import traceback
import warnings
from pathlib import Path
from time import monotonic

from pymmio.backend.vfio.noiommu import NoIommuWarning
from pymmio_drivers.nvme import Controller, ControllerGone
from tests.guest.case import case
from tests.guest.cases.vfio_common import HUGE_PAGES, NOIOMMU_MODE, noiommu_uri
from tests.guest.inside import wait_until
from tests.guest.monitor import Monitor
from tests.vfio_user.asking import ask
from tests.vfio_user.cases import disk
from tests.vfio_user.cases.disk import MIB, Direct, pattern

HERE = "vfio-user-lost"
SOON_S = 20.0  # Linux waits io_timeout for the command, then looks at the controller
PLUG_S = 20.0


@case(timeout_s=120, guest=HERE)
def case_lost_server_is_an_io_error_and_no_hang() -> None:
    data = pattern(6, 64 << 10)
    node = disk.node()
    (Path("/sys/block") / node.name / "queue/io_timeout").write_text("1000")  # milliseconds
    errors: list[OSError] = []
    rounds = 0
    with Direct(node) as device:
        device.write(4 * MIB, data)

        def read() -> None:
            nonlocal rounds
            try:
                while True:
                    assert device.read(4 * MIB, len(data)) == data
                    rounds += 1
            except OSError as error:
                errors.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: rounds > 3, SOON_S, "reads")
        begin = monotonic()
        ask("kill", "nvme")
        reader.join(SOON_S)
        assert not reader.is_alive(), f"a read hangs for {SOON_S} s"
        print(f"{errors[0]!r} {monotonic() - begin:.2f} s after the server's end")
    state = disk.controller() / "state"
    wait_until(lambda: state.read_text().strip() == "dead", SOON_S, "Linux to give the disk up")
    with Direct(new_disk()) as device:
        assert device.read(4 * MIB, len(data)) == data


@case(timeout_s=60, guest=HERE)
def case_lost_server_is_an_exception_of_the_driver() -> None:
    """The last case: Linux waits a minute for the dead device when the process that has it ends."""
    disk.node()
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        try:
            os.write(writing, _lose_it().encode())
            signal.pause()
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(1)
    ready, _, _ = select.select([reading], [], [], SOON_S)
    said = os.read(reading, 1 << 16).decode() if ready else "nothing"
    print(said)
    assert said.startswith("ControllerGone"), said


def _lose_it() -> str:
    """Return what becomes of a read whose server dies; everything stays open."""
    warnings.simplefilter("ignore", NoIommuWarning)
    HUGE_PAGES.write_text("24")
    NOIOMMU_MODE.write_text("1")
    card = disk.function()
    (card.path / "driver_override").write_text("vfio-pci\n")
    disk.unbind(card)
    disk.probe(card)
    ctrl = Controller.open(noiommu_uri(card))
    ns = ctrl.namespaces[1]
    ns.read_bytes(lba=0, blocks=8)
    begin = monotonic()
    ask("kill", "nvme")
    try:
        ns.read_bytes(lba=0, blocks=8)
    except ControllerGone as error:
        return f"{type(error).__name__} after {monotonic() - begin:.2f} s: {error}"
    return "a dead disk was read"


def new_disk() -> Path:
    """Start the disk's server again and put a new disk into the empty slot."""
    dead = disk.function()
    socket = ask("start", "nvme")
    with Monitor() as monitor:
        monitor.command(
            "device_add",
            driver="vfio-user-pci",
            bus="slot1",
            socket={"type": "unix", "path": socket},
        )
    wait_until(lambda: disk.function() != dead, PLUG_S, "the new disk to come")
    return disk.node()
