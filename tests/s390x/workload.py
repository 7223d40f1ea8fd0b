"""What a controller is asked to do in the guest; a program as well, to be run with a preload.

``python -m tests.s390x.workload keep_4_mib ADDRESS ACCESS HOW``, or
``... write_cells ADDRESS ACCESS``, ``... read_cells ADDRESS ACCESS`` and the others below; those of
tests.s390x.failures, too.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from pymmio import Device, open_device
from pymmio.check.rules import Verdict, preset, region_subject, run
from pymmio.check.rules.report import text
from pymmio.handle import Access
from pymmio.mmio import Region
from pymmio_drivers.nvme import Controller
from tests.contract.asking import keeps
from tests.contract.backends import VFIO_S390X
from tests.refusals.devices import DeviceBench
from tests.refusals.table import compare
from tests.s390x.qemu_log import QemuLog

MIB = 1 << 20
SIZE = 4 * MIB
START_LBA = 2048

WIDTHS = (1, 2, 4, 8)
MEMORY = 2  # BAR: the controller's memory buffer
CELL = bytes(range(0x10, 0x20))  # 16 different bytes
# Where the cells of the four widths stand: at the start, around a page's end, at the end.
CELLS = [(g + 16 * i, w) for g in (0, 4096 - 32, MIB - 64) for i, w in enumerate(WIDTHS)]


def keep_4_mib(address: str, access: str, how: str) -> None:
    """Identify the controller, write 4 MiB, read them and compare; ``how``: "msix" or "polling"."""
    mode: Literal["msix"] | None = None if how == "polling" else "msix"
    data = random.Random(4).randbytes(SIZE)
    with Controller.open(f"vfio:{address}", access=access, interrupts=mode) as ctrl:
        assert ctrl.interrupts == how
        assert ctrl.device.region(0).access is Access(access)
        assert (ctrl.identity.vid, ctrl.identity.sn) == (0x1B36, "pymmio-0")
        ns = ctrl.namespaces[1]
        assert ns.size == 64 * MIB
        with ctrl.alloc(SIZE) as source, ctrl.alloc(SIZE) as target:
            assert source.iova >= 1 << 32  # zPCI's apertures begin at 4 GiB
            with memoryview(source) as view:
                view[:] = data
            ns.write(source, lba=START_LBA)
            ns.flush()
            ns.read(target, lba=START_LBA)
            with memoryview(target) as view:
                assert view == data


@contextmanager
def memory(address: str, access: str) -> Iterator[Region]:
    """Open the memory buffer for the block."""
    with open_device(f"vfio:{address}", access=access) as device:
        region = device.region(MEMORY)
        assert region.access is Access(access)
        yield region


def write_cells(address: str, access: str) -> None:
    """Write each cell in its own width."""
    with memory(address, access) as region:
        for cell, width in CELLS:
            for at in range(0, 16, width):
                region.write(cell + at, width, int.from_bytes(CELL[at : at + width], "little"))


def read_cells(address: str, access: str) -> None:
    """Read each cell in every width, one by one and as a block."""
    with memory(address, access) as region:
        for cell, written in CELLS:
            for width in WIDTHS:
                values = [region.read(cell + at, width) for at in range(0, 16, width)]
                data = b"".join(value.to_bytes(width, "little") for value in values)
                assert data == CELL, (cell, written, width, data)
                assert region.read_block(cell, 16, width=width) == CELL


def copy(address: str, access: str) -> None:
    """Copy more than QEMU takes at once: it turns the bytes of longer stores around."""
    data = bytes(n * 7 & 0xFF for n in range(3 * 4096))
    with memory(address, access) as region:
        region.write_combined(4096 - 64, data)
        assert region.read_block(4096 - 64, len(data), width=8) == data
        region.write_block(0x20000, data, width=4)
        assert region.read_block(0x20000, len(data), width=4) == data


def check_rules(address: str, access: str) -> None:
    """Compare what arrives of accesses of all widths and offsets with the rules."""
    with memory(address, access) as region:
        log = QemuLog("nvme-cmb", MIB)
        subject = region_subject(region, access)
        for rule in ("zpci", "strict-pci"):
            report = run(subject.access, preset(rule), log, name=access, widths=subject.widths)
            assert report.verdict is Verdict.KEPT, text(report)
            assert len(report.cases) == len(WIDTHS) * 16 * 3 * 2
        log.close()


def refuse(address: str, access: str) -> None:
    """Ask for what is refused, or fails: the table of tests/refusals."""
    asked, wrong = compare(DeviceBench(f"vfio:{address}", MEMORY, Access(access)))
    assert wrong == [], wrong
    assert asked > 200, asked


def contract(address: str, access: str, group: str) -> None:
    """Ask a group of promises; accesses go ``access``, unless a check wants another way."""

    def opener(uri: str, **options: Any) -> Device:
        return open_device(uri, **({"access": access} | options))

    subject = VFIO_S390X.subject("nvme-cmb", f"vfio:{address}")
    asked = VFIO_S390X.groups("nvme-cmb")[group]
    keeps(replace(subject, opener=opener), asked, column=f"s390x-{access}")


if __name__ == "__main__":
    from tests.s390x import failures

    name, *arguments = sys.argv[1:]
    (globals().get(name) or getattr(failures, name))(*arguments)
