"""A model in Python behind zPCI: an s390x guest, real vfio-pci and system calls on vfio-user."""

from __future__ import annotations

import sys
from time import monotonic

import pymmio
from pymmio.check.rules import DeviceRecorder, Verdict, preset, ready_subject, run
from pymmio.check.rules.report import text
from pymmio.handle import Access
from pymmio_drivers.nvme import Controller
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.vfio_user.asking import ask
from tests.vfio_user.cases.case_rules import RECORDER
from tests.vfio_user.cases.disk import MIB, SIZE, digest, pattern


@case(timeout_s=240, guest="s390x-vfio-user", params=("syscall-region", "pread-pread"))
def case_accesses_by_zpci_are_cut_as_the_presets_say(mode: str) -> None:
    access, _, subject = mode.partition("-")
    rules = ("vfio-pci",) if subject == "pread" else ("strict-pci", "zpci")
    with bound_to_vfio(RECORDER) as function:
        with pymmio.open_device(f"vfio:{function.address}", access=access) as device:
            for rule in rules:
                ready = ready_subject(subject, device, rule)
                report = run(
                    ready.access,
                    preset(rule),
                    DeviceRecorder(device),
                    name=mode,
                    widths=ready.widths,
                )
                assert report.verdict is Verdict.KEPT, text(report)
                print(f"{rule}: {len(report.cases)} accesses by {mode}")


@case(timeout_s=180, guest="s390x-vfio-user", params=("syscall-msix", "pread-polling"))
def case_nvme_over_zpci(mode: str) -> None:
    assert sys.byteorder == "big"
    access, _, how = mode.partition("-")
    data = pattern(len(mode), MIB)
    with bound_to_vfio(NVME) as function:
        uri = f"vfio:{function.address}"
        interrupts = None if how == "polling" else how
        with Controller.open(uri, access=access, interrupts=interrupts) as ctrl:  # type: ignore[arg-type]
            assert ctrl.interrupts == how
            assert ctrl.device.region(0).access is Access(access)
            ns = ctrl.namespaces[1]
            assert ns.size == SIZE
            with ctrl.alloc(len(data)) as source, ctrl.alloc(len(data)) as target:
                with memoryview(source) as view:
                    view[:] = data
                ns.write(source, lba=20 * MIB // 512)
                ns.flush()
                ns.read(target, lba=20 * MIB // 512)
                assert bytes(target) == data
            begin = monotonic()
            for lba in range(20):
                ns.read_bytes(lba=lba, blocks=8)
            print(f"4 KiB read: {(monotonic() - begin) / 20 * 1e6:.0f} us each")
    assert ask("digest", 20 * MIB, len(data)) == digest(data)
