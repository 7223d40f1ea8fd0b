"""A disk in Python: the NVMe model served to QEMU, driven by Linux's NVMe driver."""

from __future__ import annotations

import os
import re
import threading
from functools import partial
from pathlib import Path
from time import monotonic

from tests.guest.case import case
from tests.guest.inside import has_rebooted, reboot, wait_until
from tests.vfio_user.asking import ask
from tests.vfio_user.cases import disk
from tests.vfio_user.cases.disk import MIB, SIZE, Direct, digest, mounted, pattern, run

BOTH = ("vfio-user", "vfio-user-plain")
DATA = pattern(1, 5 * MIB + 123)


@case(timeout_s=60, guest=BOTH)
def case_linux_finds_the_disk() -> None:
    node = disk.node()
    assert int((Path("/sys/block") / node.name / "size").read_text()) * 512 == SIZE
    assert (disk.controller() / "serial").read_text().strip() == "PYMMIO0001"
    assert (disk.controller() / "state").read_text().strip() == "live"
    assert disk.function().driver == "nvme"
    kinds = {kind for name, kind, _ in interrupts() if name.startswith("nvme")}
    assert kinds, "the disk has no interrupts"
    assert all("MSIX" in kind or kind == "PCI-MSI" for kind in kinds), kinds


@case(timeout_s=120, guest=BOTH)
def case_a_file_system_is_made_written_mounted_again_and_compared() -> None:
    node = disk.node()
    run("mkfs.ext4", "-q", "-F", node)
    with mounted(node) as folder:
        (folder / "data").write_bytes(DATA)
        (folder / "a").mkdir()
        for number in range(40):
            (folder / "a" / str(number)).write_text(f"file {number}\n" * number)
        os.link(folder / "data", folder / "a" / "link")
    drop_caches()
    with mounted(node) as folder:
        assert (folder / "data").read_bytes() == DATA
        assert (folder / "a" / "link").stat().st_nlink == 2
        for number in range(40):
            assert (folder / "a" / str(number)).read_text() == f"file {number}\n" * number
    run("fsck.ext4", "-f", "-n", node)
    assert ask("file", "/data") == digest(DATA), "the host reads something else from the image"
    assert ask("file", "/a/7") == digest(b"file 7\n" * 7)


@case(timeout_s=60, guest=BOTH)
def case_blocks_are_where_they_belong_in_the_file() -> None:
    with Direct(disk.node()) as device:
        for offset, size in ((0, 512), (SIZE - 512, 512), (100 * MIB + 512, 96 << 10)):
            data = pattern(offset, size)
            device.write(offset, data)
            assert ask("digest", offset, size) == digest(data), f"{size} at {offset}"
            assert device.read(offset, size) == data


@case(timeout_s=60, guest="vfio-user")
def case_the_driver_is_unloaded_and_loaded() -> None:
    data = pattern(2, 64 << 10)
    with Direct(disk.node()) as device:
        device.write(8 * MIB, data)
    card = disk.function()
    for _ in range(3):
        disk.unbind(card)
        assert card.driver is None
        disk.probe(card)
        with Direct(disk.node()) as device:
            assert device.read(8 * MIB, len(data)) == data


@case(timeout_s=60, guest="vfio-user")
def case_interrupts_by_the_pin() -> None:
    card = disk.function()
    disk.node()
    disk.unbind(card)
    (card.path / "msi_bus").write_text("0")
    try:
        disk.probe(card)
        with Direct(disk.node()) as device:
            before = sum(count for name, _, count in interrupts() if name.startswith("nvme"))
            for number in range(20):
                data = pattern(number, 4096)
                device.write(number * 4096 + 16 * MIB, data)
                assert device.read(number * 4096 + 16 * MIB, 4096) == data
            kinds = {kind for name, kind, _ in interrupts() if name.startswith("nvme")}
            after = sum(count for name, _, count in interrupts() if name.startswith("nvme"))
        assert not any("MSI" in kind for kind in kinds), kinds
        assert after - before >= 40, "fewer interrupts than commands"
    finally:
        disk.unbind(card)
        (card.path / "msi_bus").write_text("1")
        disk.probe(card)
    disk.node()


@case(timeout_s=90, guest="vfio-user")
def case_a_reset_while_reads_run_loses_nothing() -> None:
    data = pattern(3, 1 * MIB)
    faults: list[str] = []
    rounds = 0
    stop = threading.Event()
    with Direct(disk.node()) as device:
        for offset in range(0, MIB, device.size):
            device.write(offset + 32 * MIB, data[offset : offset + device.size])

        def read() -> None:
            nonlocal rounds
            while not stop.is_set():
                for offset in range(0, MIB, device.size):
                    seen = device.read(offset + 32 * MIB, device.size)
                    if seen != data[offset : offset + device.size]:
                        faults.append(f"{offset}: something else was read")
                rounds += 1

        def reached(wanted: int) -> bool:
            return rounds >= wanted

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for number in range(3):
                begin = monotonic()
                (disk.controller() / "reset_controller").write_text("1")
                print(f"reset {number}: {monotonic() - begin:.2f} s")
                wanted = rounds + 2
                wait_until(partial(reached, wanted), 20.0, "reads after the reset")
        finally:
            stop.set()
            reader.join()
    assert not faults, faults
    assert (disk.controller() / "state").read_text().strip() == "live"


@case(timeout_s=60, guest="vfio-user")
def case_the_function_is_reset_from_outside() -> None:
    card = disk.function()
    disk.node()
    methods = (card.path / "reset_method").read_text().split()
    print("reset methods:", *methods)
    assert "flr" in methods
    disk.unbind(card)
    (card.path / "reset").write_text("1")
    disk.probe(card)
    data = pattern(4, 4096)
    with Direct(disk.node()) as device:
        device.write(0, data)
        assert device.read(0, 4096) == data


@case(timeout_s=90, guest="vfio-user")
def case_the_guest_is_rebooted() -> None:
    data = pattern(5, 128 << 10)
    with Direct(disk.node()) as device:
        if not has_rebooted("disk"):
            device.write(64 * MIB, data)
            reboot("disk")
        assert device.read(64 * MIB, len(data)) == data
    assert ask("digest", 64 * MIB, len(data)) == digest(data)
    assert disk.function().driver == "nvme"


@case(timeout_s=60, guest=BOTH)
def case_how_fast_it_is() -> None:
    with Direct(disk.node()) as device:
        for name, size, count, step in (
            ("128 KiB one at a time", 128 << 10, 80, 128 << 10),
            ("4 KiB one at a time", 4096, 200, 36 << 10),
        ):
            block = bytes(size)
            begin = monotonic()
            for number in range(count):
                device.write(number * step, block)
            written = monotonic()
            for number in range(count):
                device.read(number * step, size)
            read = monotonic()
            for what, seconds in (("written", written - begin), ("read", read - written)):
                rate = size * count / seconds / MIB
                print(f"{name} {what}: {rate:.1f} MiB/s, {seconds / count * 1e6:.0f} us each")
    with (disk.function().path / "config").open("rb", buffering=0) as config:
        begin = monotonic()
        for _ in range(100):
            os.pread(config.fileno(), 4, 0)
        print(f"4 bytes of configuration space: {(monotonic() - begin) / 100 * 1e6:.0f} us")


def interrupts() -> list[tuple[str, str, int]]:
    """Return (name, kind, count) of the interrupts that drivers have."""
    found = []
    for line in Path("/proc/interrupts").read_text().splitlines()[1:]:
        match = re.match(r" *\d+: +((?:\d+ +)+)(.*\S) +(\S+)$", line)
        if match:
            counts = sum(map(int, match[1].split()))
            found.append((match[3], match[2].split()[0], counts))
    return found


def drop_caches() -> None:
    """Forget all clean pages, so that they are read again."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
