"""Interrupts of the device, delivered to eventfds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pymmio.backend.qtest.config import DeviceConfig
from pymmio.backend.qtest.machine.bars import PlacedBar
from pymmio.backend.qtest.machine.bell import DOORBELL, VECTORS_PER_PEER, Bell
from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.backend.qtest.relay import Relay
from pymmio.errors import DeviceGone, PymmioError, Unsupported
from pymmio.handle import IrqKind
from pymmio.pci.caps import Capability, Msi, MsiX
from pymmio.pci.caps.msix import MSIX_ENTRY_SIZE
from pymmio.pci.header import Command, Offset, Status

__all__ = ["QtestIrq"]

_MSIX_CONTROL, _MSIX_ENABLE, _MSIX_MASK_ALL = 2, 1 << 15, 1 << 14  # PCI Local Bus 3.0 §6.8.2.3
_ENTRY_DATA, _ENTRY_CONTROL, _ENTRY_MASKED = 8, 12, 1  # §6.8.2.6 to §6.8.2.9
_MSI_CONTROL, _MSI_ENABLE, _MSI_COUNT = 2, 1, 0b111 << 4  # §6.8.1.3
_MSI_ADDRESS, _MSI_DATA_32, _MSI_DATA_64 = 4, 8, 12  # §6.8.1.4 to §6.8.1.6


class QtestIrq:
    """An :class:`~pymmio.handle.IrqHandle`.

    MSI-X goes from QEMU to the callers' eventfds; MSI and the pin go through :class:`Relay`.
    """

    def __init__(
        self,
        name: str,
        channel: QtestChannel,
        config: DeviceConfig,
        capabilities: Sequence[Capability],
        bars: Sequence[PlacedBar],
        bell: Bell,
        relay: Relay,
    ) -> None:
        """Look at what the device has.  Raises ProtocolError for a broken MSI-X capability."""
        self._name = name
        self._channel = channel
        self._config = config
        self._bell = bell
        self._relay = relay
        self._msi = next((one for one in capabilities if isinstance(one, Msi)), None)
        self._msix = next((one for one in capabilities if isinstance(one, MsiX)), None)
        self._counts = {
            IrqKind.INTX: int(config.read8(Offset.INTERRUPT_PIN) != 0),
            IrqKind.MSI: 0 if self._msi is None else self._msi.vectors,
            IrqKind.MSIX: 0 if self._msix is None else self._msix.vectors,
        }
        self._table = 0
        if self._msix is not None:
            self._msix.check_fits({bar.index: bar.size for bar in bars})
            place = self._msix.table
            bar = next(bar for bar in bars if bar.index == place.bar)
            self._table = bar.address + place.offset
        self._enabled: dict[IrqKind, tuple[int, ...]] = {}
        self._peers: list[int] = []
        self._messages: list[int | None] = []
        self._is_msi_known = False
        self._is_intercepted = False

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors of this kind the device has; events of VFIO: none."""
        return self._counts.get(kind, 0)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Deliver to these eventfds; vectors that stay lose nothing meanwhile.

        Raises Unsupported, DeviceGone, VectorsExhausted, DeviceTimeout; then the kind is off.
        """
        if len(eventfds) > self.count(kind):
            raise Unsupported(
                f"{self._name} has {self.count(kind)} vectors of kind {kind}, "
                f"{len(eventfds)} were asked for"
            )
        if not any(fd >= 0 for fd in eventfds):
            self.disable(kind)
            return
        turn_on = {
            IrqKind.INTX: self._enable_pin,
            IrqKind.MSI: self._enable_msi,
            IrqKind.MSIX: self._enable_msix,
        }[kind]
        self._enabled[kind] = tuple(eventfds)
        try:
            turn_on(eventfds)
        except BaseException as error:
            self.disable(kind)
            if isinstance(error, OSError) and not isinstance(error, PymmioError):
                raise Unsupported(
                    f"{self._name}: cannot enable {kind}: {error.strerror}",
                    hint="Raise the limit of open files (ulimit -n)",
                ) from error
            raise

    def disable(self, kind: IrqKind) -> None:
        """Deliver nothing of this kind any more; no error where QEMU has ended."""
        if kind not in self._enabled:
            return
        self._enabled[kind] = ()  # to be asked again where this fails
        try:
            if kind is IrqKind.MSIX:
                self._disable_msix()
            elif kind is IrqKind.MSI:
                self._set_msi_control(0)
                self._channel.settle()
        except DeviceGone:
            pass  # it delivers nothing
        finally:
            if kind is IrqKind.INTX:
                self._relay.set_pin(-1)
            elif kind is IrqKind.MSI:
                self._relay.set_targets(())
        del self._enabled[kind]

    def unmask_intx(self) -> None:
        """Let the next INTx through, at once if the pin is asserted.

        Raises Unsupported while INTx is not enabled.
        """
        if not self._enabled.get(IrqKind.INTX):
            raise Unsupported(
                f"{self._name}: INTx is not enabled, so there is nothing to unmask",
                hint="Enable it first; it stays masked after each event only",
            )
        self._relay.unmask()
        self._look_at_pin()

    def restore(self) -> None:
        """After a reset: tell the device again what is enabled, as VFIO does."""
        if self._enabled.get(IrqKind.MSIX):
            self._write_table(len(self._messages))
        if vectors := self._enabled.get(IrqKind.MSI):
            self._write_msi(len(vectors))
        if self._enabled.get(IrqKind.INTX):
            self._relay.unmask()

    # --- INTx ----------------------------------------------------------------------------

    def _enable_pin(self, eventfds: Sequence[int]) -> None:
        if not self._is_intercepted:
            self._channel.intercept_lines_of("ioapic")  # for good: qtest has no way back
            self._is_intercepted = True
        self._relay.set_pin(eventfds[0])
        self._look_at_pin()

    def _look_at_pin(self) -> None:
        """Fire if the pin is asserted: QEMU reports changes only."""
        both = self._config.read32(Offset.COMMAND)
        is_asserted = both >> 16 & Status.INTERRUPT  # PCI Local Bus 3.0 §6.2.3
        if is_asserted and not both & Command.INTX_DISABLE:
            self._relay.fire()

    # --- MSI -----------------------------------------------------------------------------

    def _enable_msi(self, eventfds: Sequence[int]) -> None:
        if not self._is_msi_known:
            self._bell.join_for_msi(self._relay.make_sources(self.count(IrqKind.MSI)))
            self._is_msi_known = True
        self._relay.set_targets(eventfds)
        self._write_msi(len(eventfds))

    def _write_msi(self, count: int) -> None:
        assert self._msi is not None
        at = self._msi.offset
        self._config.write32(at + _MSI_ADDRESS, DOORBELL)
        if self._msi.is_64bit:
            self._config.write32(at + _MSI_ADDRESS + 4, 0)
        # The device puts the vector into the low bits of the data (§6.8.1.6).
        self._config.write16(at + (_MSI_DATA_64 if self._msi.is_64bit else _MSI_DATA_32), 0)
        self._set_msi_control(_MSI_ENABLE | (count - 1).bit_length() << 4)
        self._channel.settle()

    def _set_msi_control(self, bits: int) -> None:
        assert self._msi is not None
        at = self._msi.offset + _MSI_CONTROL
        control = self._config.read16(at) & ~(_MSI_ENABLE | _MSI_COUNT)
        self._config.write16(at, control | bits)

    # --- MSI-X ---------------------------------------------------------------------------

    def _enable_msix(self, eventfds: Sequence[int]) -> None:
        former_peers, former_count = self._peers, len(self._messages)
        self._peers, self._messages = [], [None] * len(eventfds)
        try:
            wanted = [index for index, fd in enumerate(eventfds) if fd >= 0]
            for start in range(0, len(wanted), VECTORS_PER_PEER):
                part = wanted[start : start + VECTORS_PER_PEER]
                peer = self._bell.join([eventfds[index] for index in part])
                self._peers.append(peer)
                for slot, index in enumerate(part):
                    self._messages[index] = peer << 16 | slot
            self._write_table(max(former_count, len(eventfds)))
        finally:
            for peer in former_peers:
                self._bell.leave(peer)

    def _disable_msix(self) -> None:
        peers, self._peers = self._peers, []
        try:
            self._set_msix_control(0)
            with self._decoding():
                for index in range(len(self._messages)):
                    self._write_entry(index, _ENTRY_CONTROL, _ENTRY_MASKED)
            self._channel.settle()
            self._messages = []
        finally:
            for peer in peers:
                self._bell.leave(peer)

    def _write_table(self, count: int) -> None:
        """Write the first ``count`` entries and switch MSI-X on."""
        with self._decoding():
            for index in range(count):
                message = self._messages[index] if index < len(self._messages) else None
                # Masked meanwhile: what the device sends then is sent at the unmasking.
                self._write_entry(index, _ENTRY_CONTROL, _ENTRY_MASKED)
                if message is not None:
                    self._write_entry(index, 0, DOORBELL)
                    self._write_entry(index, 4, 0)
                    self._write_entry(index, _ENTRY_DATA, message)
                    self._write_entry(index, _ENTRY_CONTROL, 0)
        self._set_msix_control(_MSIX_ENABLE)
        self._channel.settle()

    def _write_entry(self, index: int, offset: int, value: int) -> None:
        self._channel.write(self._table + MSIX_ENTRY_SIZE * index + offset, 4, value)

    def _set_msix_control(self, bits: int) -> None:
        assert self._msix is not None
        at = self._msix.offset + _MSIX_CONTROL
        control = self._config.read16(at) & ~(_MSIX_ENABLE | _MSIX_MASK_ALL)
        self._config.write16(at, control | bits)

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Have the device answer at its table meanwhile."""
        before = self._config.command
        if before & Command.MEMORY:
            yield
            return
        self._config.write16(Offset.COMMAND, before | Command.MEMORY)
        try:
            yield
        finally:
            self._config.write16(Offset.COMMAND, before)
