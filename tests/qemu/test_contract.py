"""The contract of backends, on devices of QEMU."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pymmio.device import Device
from pymmio.testing.contract import Ability, Check, Lack, Subject, checks

NO_IOMMU = "machine=pc has no IOMMU: the device reaches all RAM"
EDU_KEEPS = "QEMU's edu does nothing at a reset"
EDU: dict[str, str | Lack] = {"reset_gives_a_new_device": EDU_KEEPS}

SUBJECTS: dict[str, tuple[str, str, dict[str, str | Lack]]] = {
    "edu": ("edu", "qemu:edu", EDU),
    "edu-pc": (
        "edu",
        "qemu:edu?machine=pc",
        EDU | {"memory_that_was_closed_is_out_of_reach": NO_IOMMU},
    ),
    "nvme": ("nvme", "qemu:nvme,serial=x?drive=DISK&size=16M", {}),
    "nvme-cmb": ("nvme-cmb", "qemu:nvme,serial=x,cmb_size_mb=2?drive=DISK&size=16M", {}),
}


def _kill(device: Device) -> None:
    """Take the device away."""
    process = device.handle.process  # type: ignore[attr-defined]
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        (name, check)
        for name, (device, _, _) in SUBJECTS.items()
        for check in checks(device)
        if Ability.SHARING not in check.needs
    ],
    ids=str,
)
def test_qemu(name: str, check: Check, tmp_path: Path) -> None:
    device, uri, lacks = SUBJECTS[name]
    uri = uri.replace("DISK", str(tmp_path / "disk.img"))
    check.run(Subject(uri, device, lacks=lacks, remove=_kill))
