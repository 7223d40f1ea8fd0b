"""The kinds of devices that can show what a backend does, by name."""

from __future__ import annotations

from pymmio.testing.contract.devices.base import Exerciser
from pymmio.testing.contract.devices.edu import EduExerciser
from pymmio.testing.contract.devices.nvme import NvmeExerciser, NvmeWithBuffer
from pymmio.testing.contract.devices.recorder import RecorderExerciser

__all__ = ["DEVICES"]

DEVICES: dict[str, type[Exerciser]] = {
    "edu": EduExerciser,
    "nvme": NvmeExerciser,
    "nvme-cmb": NvmeWithBuffer,
    "access-recorder": RecorderExerciser,
}
