"""Two devices in this process behind one IOMMU: what the contract does not ask."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import pymmio
import pymmio.backend
from pymmio.backend.sim import open as open_sim
from pymmio.errors import Unsupported
from pymmio.uri import DeviceUri


def test_different_models_share_as_well() -> None:
    with pymmio.open_device("sim:nvme?size=16M") as nvme:
        with pymmio.open_device("sim:edu", share_dma_with=nvme) as edu:
            assert edu.dma is nvme.dma
            assert nvme.dma.users == 2
        assert nvme.dma.users == 1


@dataclass
class _Other:
    name: str = "0000:01:00.0"


def test_a_device_of_another_backend_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"sim:edu and 0000:01:00\.0 cannot share memory"):
        open_sim(DeviceUri.parse("sim:edu"), share_dma_with=_Other())  # type: ignore[arg-type]


def test_a_backend_that_cannot_share_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pymmio.open_device("sim:edu") as edu:
        monkeypatch.setattr(
            pymmio.backend, "_opener", lambda uri: lambda uri: pytest.fail("opened")
        )
        with pytest.raises(Unsupported, match="'other'"):
            pymmio.open_device("other:x", share_dma_with=edu)
