"""Features (NVMe Base 1.4 §5.13 and §5.21, Base 2.0 §5.15 and §5.27)."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pymmio.models.nvme.command import Command
from pymmio.models.nvme.events import TEMPERATURE_THRESHOLD
from pymmio.models.nvme.identify import BROADCAST, WARNING_TEMPERATURE, active_namespaces
from pymmio.models.nvme.status import CommandError, Status

if TYPE_CHECKING:
    from pymmio.models.nvme.controller import NvmeModel

__all__ = ["Feature", "Features"]


class Feature(enum.IntEnum):
    """Feature identifiers that this controller has."""

    ARBITRATION = 0x01
    POWER_MANAGEMENT = 0x02
    TEMPERATURE_THRESHOLD = 0x04
    ERROR_RECOVERY = 0x05
    VOLATILE_WRITE_CACHE = 0x06
    NUMBER_OF_QUEUES = 0x07
    INTERRUPT_COALESCING = 0x08
    INTERRUPT_VECTOR = 0x09
    WRITE_ATOMICITY = 0x0A
    ASYNC_EVENT = 0x0B
    TIMESTAMP = 0x0E


_DEFAULTS = {
    Feature.ARBITRATION: 0x7,  # AB 111b: no limit
    Feature.POWER_MANAGEMENT: 0,
    Feature.VOLATILE_WRITE_CACHE: 1,
    Feature.INTERRUPT_COALESCING: 0,
    Feature.WRITE_ATOMICITY: 0,
    Feature.ASYNC_EVENT: 0,
}
_CHANGEABLE = 1 << 2
_PER_NAMESPACE = 1 << 1

_FID_BYTE = 40
_CDW11_BYTE = 44
_NSID_BYTE = 4


class Features:
    """Values of the features; none is kept over a reset, for none can be saved."""

    def __init__(self, model: NvmeModel) -> None:
        self._model = model
        self.clock: Callable[[], float] = time.monotonic
        """Seconds; what the Timestamp feature counts on with."""
        self.temperature = 0x143  # kelvin: 50 °C
        self.reset()

    def reset(self) -> None:
        """Go back to the defaults."""
        self._values = dict(_DEFAULTS)
        self._vectors: dict[int, int] = {}
        self.over_temperature = WARNING_TEMPERATURE
        self.under_temperature = 0
        self._timestamp = 0
        self._timestamp_set_s = self.clock()
        for namespace in self._model.namespaces.values():
            namespace.error_recovery = 0

    @property
    def is_write_cached(self) -> bool:
        return bool(self._values[Feature.VOLATILE_WRITE_CACHE] & 1)

    @property
    def async_events(self) -> int:
        """Asynchronous Event Configuration: which events the driver wants."""
        return self._values[Feature.ASYNC_EVENT]

    def _find(self, command: Command) -> Feature:
        try:
            return Feature(command.cdw10 & 0xFF)
        except ValueError:
            raise CommandError(Status.INVALID_FIELD, location=_FID_BYTE) from None

    # --- Get Features ------------------------------------------------------------------

    def get(self, command: Command) -> int:
        """Execute Get Features; return DW0.  Select 0: current, 1: default, 2: saved."""
        feature = self._find(command)
        if feature is Feature.ERROR_RECOVERY:
            self._check_active(command.nsid)
        select = command.cdw10 >> 8 & 0x7
        if select == 3:
            return _CHANGEABLE | (_PER_NAMESPACE if feature is Feature.ERROR_RECOVERY else 0)
        if select > 3:
            raise CommandError(Status.INVALID_FIELD, location=_FID_BYTE + 1)
        return self._value(feature, command, is_current=select == 0)

    def _value(self, feature: Feature, command: Command, *, is_current: bool) -> int:
        cdw11 = command.cdw11
        match feature:
            case Feature.TEMPERATURE_THRESHOLD:
                return self._threshold(cdw11, is_current=is_current)
            case Feature.ERROR_RECOVERY:
                namespace = self._model.namespaces[command.nsid]
                return namespace.error_recovery if is_current else 0
            case Feature.NUMBER_OF_QUEUES:
                pairs = self._model.options.max_ioqpairs - 1
                return pairs | pairs << 16
            case Feature.INTERRUPT_VECTOR:
                vector = self._check_vector(cdw11)
                # Coalescing is never applied to the admin queue's vector: CD = 1.
                default = 1 << 16 if vector == 0 else 0
                return vector | (self._vectors.get(vector, default) if is_current else default)
            case Feature.TIMESTAMP:
                self._model.send(command, self._timestamp_now().to_bytes(8, "little"))
                return 0
        return self._values[feature] if is_current else _DEFAULTS[feature]

    def _threshold(self, cdw11: int, *, is_current: bool) -> int:
        sensor, kind = cdw11 >> 16 & 0xF, cdw11 >> 20 & 0x3
        if kind > 1:
            raise CommandError(Status.INVALID_FIELD, location=_CDW11_BYTE + 2)
        if sensor:  # only the composite temperature is there
            return 0
        if is_current:
            return self.under_temperature if kind else self.over_temperature
        return 0 if kind else WARNING_TEMPERATURE

    def _timestamp_now(self) -> int:
        """Return 48 bits of milliseconds and the origin: 1 if a driver has set it."""
        elapsed = int((self.clock() - self._timestamp_set_s) * 1000)
        value = (self._timestamp + elapsed) & 0xFFFF_FFFF_FFFF
        return value | (1 << 49 if self._timestamp else 0)

    # --- Set Features ------------------------------------------------------------------

    def set(self, command: Command) -> int:
        """Execute Set Features; return DW0."""
        if command.cdw10 >> 31:
            raise CommandError(Status.FEATURE_NOT_SAVEABLE, location=_FID_BYTE + 3)
        feature = self._find(command)
        self._check_scope(feature, command.nsid)
        cdw11 = command.cdw11
        match feature:
            case Feature.POWER_MANAGEMENT if cdw11 & 0x1F:  # NPSS is 0: power state 0 only
                raise CommandError(Status.INVALID_FIELD, location=_CDW11_BYTE)
            case Feature.TEMPERATURE_THRESHOLD:
                self._set_threshold(cdw11)
            case Feature.ERROR_RECOVERY:
                if cdw11 >> 16 & 1:  # DULBE is not supported (NSFEAT bit 2)
                    raise CommandError(Status.INVALID_FIELD, location=_CDW11_BYTE + 2)
                for namespace in active_namespaces(self._model.namespaces, command.nsid):
                    namespace.error_recovery = cdw11 & 0xFFFF
            case Feature.VOLATILE_WRITE_CACHE:
                if not cdw11 & 1:
                    self._model.storage.flush()
                self._values[feature] = cdw11 & 1
            case Feature.NUMBER_OF_QUEUES:
                return self._set_queue_count(command)
            case Feature.INTERRUPT_VECTOR:
                self._vectors[self._check_vector(cdw11)] = cdw11 & 1 << 16
            case Feature.TIMESTAMP:
                data = self._model.receive(command, 8)
                self._timestamp = int.from_bytes(data[:6], "little")
                self._timestamp_set_s = self.clock()
            case Feature.INTERRUPT_COALESCING:
                self._values[feature] = cdw11 & 0xFFFF
            case Feature.WRITE_ATOMICITY:
                self._values[feature] = cdw11 & 1
            case _:
                self._values[feature] = cdw11
        return 0

    def _check_scope(self, feature: Feature, nsid: int) -> None:
        if feature is Feature.ERROR_RECOVERY:
            if nsid != BROADCAST:
                self._check_active(nsid)
        elif nsid not in (0, BROADCAST):
            self._model.identity.find(nsid)
            raise CommandError(Status.FEATURE_NOT_NAMESPACE_SPECIFIC, location=_NSID_BYTE)

    def _check_active(self, nsid: int) -> None:
        if self._model.identity.find(nsid) is None:
            raise CommandError(Status.INVALID_FIELD, location=_NSID_BYTE)

    def _check_vector(self, cdw11: int) -> int:
        vector = cdw11 & 0xFFFF
        if vector >= self._model.options.msix_qsize:
            raise CommandError(Status.INVALID_FIELD, location=_CDW11_BYTE)
        return vector

    def _set_queue_count(self, command: Command) -> int:
        if self._model.engine.has_io_queues:
            raise CommandError(Status.COMMAND_SEQUENCE_ERROR)
        if command.cdw11 & 0xFFFF == 0xFFFF or command.cdw11 >> 16 == 0xFFFF:
            raise CommandError(Status.INVALID_FIELD, location=_CDW11_BYTE)
        return self._value(Feature.NUMBER_OF_QUEUES, command, is_current=True)

    def _set_threshold(self, cdw11: int) -> None:
        sensor, kind = cdw11 >> 16 & 0xF, cdw11 >> 20 & 0x3
        if sensor:
            return
        if kind > 1:
            raise CommandError(Status.INVALID_FIELD, location=_CDW11_BYTE + 2)
        if kind:
            self.under_temperature = cdw11 & 0xFFFF
        else:
            self.over_temperature = cdw11 & 0xFFFF
        self.check_temperature()

    @property
    def is_temperature_critical(self) -> bool:
        return not self.under_temperature < self.temperature < self.over_temperature

    def check_temperature(self) -> None:
        """Post an event if the temperature is beyond a threshold and the driver asked."""
        if self.is_temperature_critical and self.async_events & 1 << 1:
            self._model.events.post(TEMPERATURE_THRESHOLD)
