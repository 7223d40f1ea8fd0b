"""The contract of backends, on devices of QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.testing.contract import Check
from tests.contract.backends import QEMU, QEMU_PC, Backend

URIS = {
    (QEMU, "edu"): "qemu:edu",
    (QEMU, "nvme"): "qemu:nvme,serial=x?drive=DISK&size=16M",
    (QEMU, "nvme-cmb"): "qemu:nvme,serial=x,cmb_size_mb=2?drive=DISK&size=16M",
    (QEMU_PC, "edu"): "qemu:edu?machine=pc",
}


@pytest.mark.parametrize(
    ("backend", "device", "check"),
    [
        (backend, device, check)
        for backend in (QEMU, QEMU_PC)
        for device in backend.devices
        for check in backend.checks(device)
    ],
    ids=lambda one: one.name if isinstance(one, Backend) else str(one),
)
def test_qemu(backend: Backend, device: str, check: Check, tmp_path: Path) -> None:
    uri = URIS[backend, device].replace("DISK", str(tmp_path / "disk.img"))
    check.run(backend.subject(device, uri))
