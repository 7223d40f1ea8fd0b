"""Bad input is refused alike by each kind of region: the table of tests/refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pymmio.backend.sim import SimHandle
from pymmio.device import Device
from pymmio.errors import Unsupported
from pymmio.handle import Access, RegionInfo
from pymmio.uri import DeviceUri
from tests.refusals.benches import benches
from tests.refusals.table import State, compare, rows
from tests.unit.backend.sim.rig import Rig


@pytest.mark.parametrize("bench", benches(), ids=lambda bench: bench.name)
def test_the_answers_are_those_of_the_table(bench: Any) -> None:
    asked, wrong = compare(bench)
    assert wrong == []
    assert asked == sum(row.state in bench.states for row in rows(8192))


def test_the_table_has_each_state() -> None:
    counts = {state: sum(row.state is state for row in rows(8192)) for state in State}
    assert all(count >= 20 for count in counts.values()), counts


class OtherBus(SimHandle):
    """A device whose BAR2 is device memory of another bus than PCI."""

    def region_infos(self) -> list[RegionInfo]:
        return [replace(info, is_ram=False, is_pci=False) for info in super().region_infos()]


@pytest.mark.parametrize("access", [Access.MIO, Access.SYSCALL])
def test_what_is_not_pci_never_gets_its_instructions(access: Access) -> None:
    handle = OtherBus(Rig(), "sim:rig")
    with Device(DeviceUri("sim", "rig"), handle, access=access) as device:
        with pytest.raises(Unsupported) as raised:
            device.region(2)
    assert raised.value.hint
