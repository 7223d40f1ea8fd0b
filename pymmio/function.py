"""What can be done with a PCI function as a whole: resets, power states, its expansion ROM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Protocol, runtime_checkable

from pymmio.errors import BadArgument, Unsupported
from pymmio.handle import DeviceHandle, RegionInfo
from pymmio.mmio import AccessRule, Region
from pymmio.pci import Command, ConfigSpace, PciAddress, PowerManagement, PowerState
from pymmio.pci.resets import ResetMethods, look_at_resets
from pymmio.pci.rom import ROM_READ_WIDTH, Rom, read_rom
from pymmio.pci.saved import SavedHeader

__all__ = ["RESET_TIMEOUT_S", "Function", "HasHotReset", "TellsResets"]

RESET_TIMEOUT_S = 30.0

ROM_REGION = 6
_ROM_RULE = AccessRule(
    widths=frozenset({ROM_READ_WIDTH}), device_widths=frozenset({ROM_READ_WIDTH})
)


@runtime_checkable
class TellsResets(Protocol):
    """A device handle that knows what the system offers to reset its device."""

    def reset_methods(self) -> ResetMethods: ...


@runtime_checkable
class HasHotReset(Protocol):
    """A device handle that can reset a slot or bus with all who are there."""

    def hot_reset(self, affecting: Collection[PciAddress] = ()) -> None: ...


class Function(ABC):
    """The part of :class:`pymmio.device.Device` that is about the function as a whole."""

    name: str
    handle: DeviceHandle
    config: ConfigSpace
    _asleep: SavedHeader | None = None

    @property
    @abstractmethod
    def regions(self) -> Mapping[int, RegionInfo]: ...

    @abstractmethod
    def region(self, index: int, *, rule: AccessRule | None = None) -> Region: ...

    @abstractmethod
    def _require_open(self) -> None: ...

    @abstractmethod
    def _run_reset(self, reset: Callable[[], None], timeout_s: float) -> None:
        """Call ``reset`` where it cannot block the program; then switch decoding on."""

    # --- resets --------------------------------------------------------------------------

    def reset_methods(self) -> ResetMethods:
        """Return what can reset the device, and what was looked at in vain; reads only.

        Iterating gives what is there, an empty result says that nothing is;
        ``looked_at`` has a line for each way with the reason.
        """
        self._require_open()
        if isinstance(self.handle, TellsResets):
            return self.handle.reset_methods()
        return look_at_resets(self.config)

    def hot_reset(
        self,
        affecting: Collection[PciAddress | str] = (),
        timeout_s: float = RESET_TIMEOUT_S,
    ) -> None:
        """Reset the device's slot or bus, with every other function that is there.

        Done only if each of these is bound to VFIO and used by nobody, or open in this
        process and named in ``affecting``: such a device loses all state as well.  Raises
        Unsupported where there is no such reset, DeviceBusy naming who is in the way, and
        what :meth:`pymmio.device.Device.reset` raises.
        """
        self._require_open()
        if not isinstance(self.handle, HasHotReset):
            raise Unsupported(
                f"{self.name}: this backend resets no slots and buses",
                hint="Use reset(), and see reset_methods() for what there is",
            )
        named = [PciAddress.parse(one) if isinstance(one, str) else one for one in affecting]
        self._run_reset(partial(self.handle.hot_reset, named), timeout_s)

    # --- power ---------------------------------------------------------------------------

    @property
    def power_state(self) -> PowerState:
        """The present power state; D0 for a function without power management."""
        self._require_open()
        management = self.config.capability(PowerManagement)
        return PowerState.D0 if management is None else management.power_state

    def set_power_state(self, state: PowerState) -> None:
        """Bring the device to a power state and wait as long as that may take (10 ms).

        Below D0 its memory answers with AccessFault, and bus mastering is off.  Back in D0
        COMMAND and BARs are what they were.  Where PMCSR has no ``no_soft_reset`` the device
        lost all other state on its way from D3hot (PCI PM 1.2 §5.4.1): set it up anew.

        Raises Unsupported where the device has no power management or not this state,
        DeviceTimeout where it stays in another one, DeviceGone.
        """
        self._require_open()
        try:
            wanted = PowerState(state)
        except ValueError:
            raise BadArgument(
                f"{state!r} is no power state", hint="Give a member of PowerState"
            ) from None
        management = self.config.capability(PowerManagement)
        if management is None:
            if wanted is PowerState.D0:
                return
            raise Unsupported(
                f"{self.name} has no power management capability: it knows D0 only",
                hint="See `pymmio caps` for what the device offers",
            )
        if wanted is not PowerState.D0 and self._asleep is None:
            management.require_state(wanted)
            self._asleep = SavedHeader.of(self.config)
            # PCI PM 1.2 §3.1: nothing may be under way when the function goes to sleep
            self.config.update_command(off=Command.BUS_MASTER)
        try:
            management.set_power_state(wanted)
        finally:
            if self._asleep is not None and management.power_state is PowerState.D0:
                saved, self._asleep = self._asleep, None
                saved.restore(self.config)

    @contextmanager
    def in_power_state(self, state: PowerState) -> Iterator[None]:
        """Bring the device to a power state for the block, then back to D0.

        Raises what :meth:`set_power_state` raises.
        """
        self.set_power_state(state)
        try:
            yield
        finally:
            self.set_power_state(PowerState.D0)

    # --- expansion ROM -------------------------------------------------------------------

    def rom(self) -> Rom:
        """Find the images in the expansion ROM; their bytes are read when asked for.

        Reads headers only.  Raises Unsupported where the device has no ROM, ProtocolError
        where what stands in it makes no sense.
        """
        self._require_open()
        if ROM_REGION not in self.regions:
            raise Unsupported(
                f"{self.name} has no expansion ROM",
                hint="Or firmware assigned no address to it: see the file rom in sysfs",
            )
        return read_rom(self.region(ROM_REGION, rule=_ROM_RULE))
