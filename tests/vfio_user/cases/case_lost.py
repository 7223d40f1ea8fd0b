"""A server that dies in the middle: errors in the guest in good time, and a way back."""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic

from pymmio.errors import PymmioError
from pymmio_drivers.nvme import Controller
from tests.guest.case import case
from tests.guest.inside import bind_vfio, wait_until
from tests.guest.interfaces import uri_of
from tests.guest.monitor import Monitor
from tests.vfio_user.cases import disk
from tests.vfio_user.cases.disk import MIB, Direct, pattern
from tests.vfio_user.cases.slot import kill_server, replace_disk

SOON_S = 20.0  # Linux waits io_timeout for the command, then looks at the controller


@case(timeout_s=120, guest="vfio-user")
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
        slot = kill_server()
        reader.join(SOON_S)
        assert not reader.is_alive(), f"a read hangs for {SOON_S} s"
        print(f"{errors[0]!r} {monotonic() - begin:.2f} s after the server's end")
    node = replace_disk(slot)
    with Direct(node) as device:
        assert device.read(4 * MIB, len(data)) == data


@case(timeout_s=90, guest="vfio-user")
def case_lost_server_is_an_exception_of_the_driver() -> None:
    card = disk.function()
    disk.node()
    bind_vfio(card)
    with Controller.open(uri_of(card.address)) as ctrl:
        ns = ctrl.namespaces[1]
        ns.read_bytes(lba=0, blocks=8)
        begin = monotonic()
        slot = kill_server()
        try:
            ns.read_bytes(lba=0, blocks=8)
            raise AssertionError("a dead disk was read")
        except PymmioError as error:
            print(f"{type(error).__name__} after {monotonic() - begin:.2f} s: {error}")
    (card.path / "driver_override").write_text("\n")
    replace_disk(slot)


@case(timeout_s=30, guest="vfio-user")
def case_qemu_lives_on_after_all_that() -> None:
    with Monitor() as monitor:
        status = monitor.command("query-status")
    assert isinstance(status, dict)
    assert status["status"] == "running"
