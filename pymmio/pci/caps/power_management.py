"""Power management capability: which power states there are, and the present one."""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping

from pymmio.errors import DeviceTimeout, Unsupported
from pymmio.pci.caps.base import Capability
from pymmio.regs import RESERVED, RO, RW, W1C, Field, Register

__all__ = ["PMC", "PMCSR", "PowerManagement", "PowerState"]


class PowerState(enum.IntEnum):
    """Device power states, PCI PM 1.2 §3.2.4; D3cold has no number: nobody answers then."""

    D0 = 0
    D1 = 1
    D2 = 2
    D3HOT = 3


class PMC(Register, offset=0x02, width=16, access=RO):
    """Power Management Capabilities (PCI PM 1.2 §3.2.3)."""

    version = Field(bits=(0, 2), doc="version of the interface; 3 is PCI PM 1.2")
    pme_clock = Field(bit=3, doc="PME# needs the PCI clock")
    immediate_readiness = Field(bit=4, doc="ready at once in D0 (PCI Express 5.0 §7.5.2.1)")
    dsi = Field(bit=5, doc="device-specific initialisation needed")
    aux_current = Field(bits=(6, 8), doc="3.3 V auxiliary current")
    d1_support = Field(bit=9)
    d2_support = Field(bit=10)
    pme_support = Field(bits=(11, 15), doc="states from which PME# can be signalled")


class PMCSR(Register, offset=0x04, width=16, access=RW):
    """Power Management Control/Status (PCI PM 1.2 §3.2.4)."""

    power_state = Field(bits=(0, 1), enum=PowerState)
    reserved_2 = Field(bit=2, access=RESERVED)
    no_soft_reset = Field(bit=3, access=RO, doc="state survives D3hot to D0")
    reserved_7_4 = Field(bits=(4, 7), access=RESERVED)
    pme_en = Field(bit=8)
    data_select = Field(bits=(9, 12))
    data_scale = Field(bits=(13, 14), access=RO)
    pme_status = Field(bit=15, access=W1C)


# Time that software leaves the function in peace after a change: PCI PM 1.2 §5.6.1.
_RECOVERY_D2_S = 200e-6
_RECOVERY_D3HOT_S = 10e-3


class PowerManagement(Capability):
    """Power management, capability id 01h (PCI PM 1.2 §3.2)."""

    __slots__ = ()

    @property
    def capabilities(self) -> PMC:
        return self._read(PMC)

    @property
    def control(self) -> PMCSR:
        return self._read(PMCSR)

    @property
    def power_state(self) -> PowerState:
        """The present state.  Raises DeviceGone where the register reads as ones."""
        control = self.control
        self._check_answers(control)
        return control.power_state

    def set_power_state(self, state: PowerState) -> None:
        """Bring the function to a state, wait as long as it may take (10 ms), look.

        Memory of the function faults or reads as ones below D0.  On the way from D3hot to
        D0 it loses all state, BARs and COMMAND included, unless ``no_soft_reset`` is set.

        Raises Unsupported for D1 and D2 where the function lacks them, DeviceTimeout where
        it stays in another state, DeviceGone where nobody answers.
        """
        control = self.control
        self._check_answers(control)
        if state == control.power_state:
            return
        self.require_state(state)
        if state < control.power_state and state != PowerState.D0:
            raise Unsupported(
                f"power state {state.name} asked for while in {control.power_state.name}:"
                " on the way up only D0 can be reached (PCI PM 1.2 §5.4)",
                hint="Go to D0 first",
            )
        deeper = max(state, control.power_state)
        self._write(control.neutral().replace(power_state=state))
        if deeper is PowerState.D3HOT:
            time.sleep(_RECOVERY_D3HOT_S)
        elif deeper is PowerState.D2:
            time.sleep(_RECOVERY_D2_S)
        after = self.control
        self._check_answers(after)
        if after.power_state != state:
            raise DeviceTimeout(
                f"power state {state.name} asked for, the function is in"
                f" {after.power_state.name} after the time it may take; PMCSR={after!r}",
                hint="A bridge above may hold it, or it refuses the state",
            )

    def require_state(self, state: PowerState) -> None:
        """Raise Unsupported if the function lacks this state."""
        supported = self.supported_states
        if state not in supported:
            raise Unsupported(
                f"power state {state.name} asked for, the function has"
                f" {', '.join(member.name for member in supported)}",
                hint="Choose one of these",
            )

    @property
    def supported_states(self) -> tuple[PowerState, ...]:
        """The states that can be asked for, D0 and D3hot always (PCI PM 1.2 §3.2.3)."""
        pmc = self.capabilities
        optional = ((PowerState.D1, pmc.d1_support), (PowerState.D2, pmc.d2_support))
        return (PowerState.D0, *(state for state, has in optional if has), PowerState.D3HOT)

    def facts(self) -> Mapping[str, object]:
        pmc, control = self.capabilities, self.control
        return {
            "version": pmc.version,
            "state": control.power_state.name,
            "supported_states": [state.name for state in self.supported_states],
            "no_soft_reset": bool(control.no_soft_reset),
            "pme_enabled": bool(control.pme_en),
            "pme_status": bool(control.pme_status),
        }
