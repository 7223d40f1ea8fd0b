"""Why a function does not answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pymmio.backend.sim import SimHandle
from pymmio.errors import AccessFault, DeviceGone, DeviceTimeout, PymmioError
from pymmio.handle import CONFIG_REGION, Access
from pymmio.mmio import HandleRegion
from pymmio.pci import ConfigSpace
from pymmio.pci.diagnosis import Diagnosis
from tests.unit.backend.sim.rig import Rig

# PCI Local Bus 3.0 §6.2.2 bit 1; PCI PM 1.2 §3.2.4: PMCSR is 4 behind the capability at 0x40
COMMAND, MEMORY, PMCSR = 0x04, 0x0002, 0x44


def present() -> bool:
    return False


def make(is_gone: Callable[[], bool] = present) -> tuple[Diagnosis, HandleRegion]:
    handle = SimHandle(Rig(), "sim:rig")
    region = HandleRegion(handle.open_region(CONFIG_REGION), access=Access.MESSAGE)
    region.write16(COMMAND, MEMORY)
    return Diagnosis("dev", ConfigSpace(region), is_gone), region


def fault() -> AccessFault:
    return AccessFault("BAR0: read failed", region="BAR0", offset=8, width=4, hint="Look")


def test_a_device_that_is_gone_is_the_cause_of_everything() -> None:
    diagnose, _ = make(lambda: True)
    for error in (fault(), DeviceTimeout("nothing came")):
        raised = diagnose(error)
        assert isinstance(raised, DeviceGone)
        assert raised.__cause__ is error
        assert error.message in raised.message


@pytest.mark.parametrize("state", [1, 2, 3])
def test_a_function_that_sleeps_is_named_before_its_command_register(state: int) -> None:
    diagnose, config = make()
    config.write16(COMMAND, 0)
    config.write16(PMCSR, state)
    error = diagnose(fault())
    assert "BAR0: read failed: the function sleeps in D" in str(error)
    assert error.args == (error.message,)


def test_memory_decoding_that_is_off_is_said_with_the_registers_value() -> None:
    diagnose, config = make()
    config.write16(COMMAND, 0x0404)
    error = diagnose(fault())
    assert "COMMAND is 0x0404, without MEMORY" in str(error)
    assert isinstance(error, AccessFault)
    assert (error.offset, error.width) == (8, 4)


def test_a_fault_without_a_reason_stays_as_it_is() -> None:
    diagnose, _ = make()
    assert str(diagnose(fault())) == "BAR0: read failed. Look"


def test_a_time_out_is_not_explained_by_configuration_space() -> None:
    diagnose, config = make()
    config.write16(COMMAND, 0)
    assert str(diagnose(DeviceTimeout("nothing came"))) == "nothing came"


@pytest.mark.parametrize("failure", [OSError(5, "injected"), PymmioError("injected")])
def test_a_diagnosis_that_fails_leaves_the_error_with_a_note(failure: Exception) -> None:
    def fail() -> bool:
        raise failure

    diagnose, _ = make(fail)
    error = fault()
    assert diagnose(error) is error
    assert "injected" in error.__notes__[0]
