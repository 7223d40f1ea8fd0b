"""Say why a function does not answer, after an access failed or a wait timed out.

Configuration space still answers where memory does not: memory decoding may be off (PCI Local
Bus 3.0 §6.2.2), or the function sleeps (PCI Power Management 1.2 §5.4.1: in D3hot it answers
configuration accesses only).
"""

from __future__ import annotations

from collections.abc import Callable

from pymmio.errors import AccessFault, DeviceGone, PymmioError
from pymmio.pci.caps import PowerManagement, PowerState
from pymmio.pci.config import ConfigSpace
from pymmio.pci.header import Command

__all__ = ["Diagnosis", "gone"]


def gone(name: str, seen: str) -> DeviceGone:
    """Return the exception for a device that has left the machine."""
    return DeviceGone(
        f"{name} is gone: {seen}",
        hint="Close it; after it was plugged in again (see pymmio.watch()) open it anew",
    )


class Diagnosis:
    """Turns the exception of a failed access into one that says why it failed.

    ``config`` must not ask the same diagnosis.  ``is_gone`` asks the backend.
    """

    def __init__(self, name: str, config: ConfigSpace, is_gone: Callable[[], bool]) -> None:
        self._name = name
        self._config = config
        self._is_gone = is_gone

    def __call__(self, error: PymmioError) -> PymmioError:
        """Return what is to be raised: DeviceGone caused by ``error``, or ``error`` itself.

        The message of an AccessFault gets the reason, where one is found.  Reads configuration
        space; nothing is written.
        """
        try:
            if self._is_gone():
                raised = gone(self._name, f"it does not answer any more ({error.message})")
                raised.__cause__ = error
                return raised
            if isinstance(error, AccessFault):
                self._say_why(error)
        except (PymmioError, OSError) as other:
            error.add_note(f"why could not be found out: {other}")
        return error

    def _say_why(self, error: AccessFault) -> None:
        """Add what COMMAND and the power state say to the message and its hint."""
        command = self._config.command
        management = self._config.capability(PowerManagement)
        state = PowerState.D0 if management is None else management.power_state
        if state is not PowerState.D0:
            why = f"the function sleeps in {state.name}, where its memory does not answer"
            hint = "Wake it: capability(PowerManagement).set_power_state(PowerState.D0)"
        elif not command & Command.MEMORY:
            why = f"memory decoding is off (COMMAND is {int(command):#06x}, without MEMORY)"
            hint = "Switch it on: device.config.update_command(on=Command.MEMORY)"
        else:
            return
        error.message = f"{error.message}: {why}"
        error.hint = hint
        error.args = (error.message,)
