"""Features of a controller: what they are called, what their values mean, reading and setting.

What a feature's DW0 holds is declared once, as a register is (NVMe Base 2.0 §5.27.1; NVM Command
Set 1.0 §4.1.3 for Error Recovery and Write Atomicity Normal).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymmio.regs import RO, Field, Register
from pymmio_drivers.nvme.command import FeatureId
from pymmio_drivers.nvme.errors import StatusError

if TYPE_CHECKING:
    from pymmio_drivers.nvme.admin import Admin

__all__ = ["FEATURE_VALUES", "Feature", "read_feature", "read_features", "set_feature"]

_TIMESTAMP_SIZE = 8
_CAPABILITIES = 3  # Select, NVMe Base 2.0 §5.15


class Arbitration(Register, width=32, access=RO):
    """Arbitration (§5.27.1.1)."""

    ab = Field(bits=(0, 2), doc="commands fetched at once, as a power of two; 7: no limit")
    lpw = Field(bits=(8, 15), doc="low priority weight, minus 1")
    mpw = Field(bits=(16, 23), doc="medium priority weight, minus 1")
    hpw = Field(bits=(24, 31), doc="high priority weight, minus 1")


class PowerManagement(Register, width=32, access=RO):
    """Power Management (§5.27.1.2)."""

    ps = Field(bits=(0, 4), doc="power state")
    wh = Field(bits=(5, 7), doc="workload hint")


class TemperatureThreshold(Register, width=32, access=RO):
    """Temperature Threshold (§5.27.1.3)."""

    tmpth = Field(bits=(0, 15), doc="kelvin; the composite temperature, if tmpsel is 0")
    tmpsel = Field(bits=(16, 19), doc="which sensor, 0: composite temperature")
    thsel = Field(bits=(20, 21), doc="0: over, 1: under the temperature")


class ErrorRecovery(Register, width=32, access=RO):
    """Error Recovery (NVM Command Set 1.0 §4.1.3.2)."""

    tler = Field(bits=(0, 15), doc="time for retries in 100 ms, 0: no limit")
    dulbe = Field(bit=16, doc="reads of deallocated blocks fail")


class VolatileWriteCache(Register, width=32, access=RO):
    """Volatile Write Cache (§5.27.1.4)."""

    wce = Field(bit=0, doc="enabled")


class NumberOfQueues(Register, width=32, access=RO):
    """Number of Queues (§5.27.1.5)."""

    nsq = Field(bits=(0, 15), doc="I/O submission queues, minus 1")
    ncq = Field(bits=(16, 31), doc="I/O completion queues, minus 1")


class InterruptCoalescing(Register, width=32, access=RO):
    """Interrupt Coalescing (NVMe Base 2.0 §5.27.1.6)."""

    thr = Field(bits=(0, 7), doc="completions before an interrupt, minus 1")
    time = Field(bits=(8, 15), doc="longest delay in 100 us")


class InterruptVectorConfiguration(Register, width=32, access=RO):
    """Interrupt Vector Configuration (NVMe Base 2.0 §5.27.1.7)."""

    iv = Field(bits=(0, 15), doc="interrupt vector")
    cd = Field(bit=16, doc="no coalescing")


class WriteAtomicity(Register, width=32, access=RO):
    """Write Atomicity Normal (NVM Command Set 1.0 §4.1.3.4)."""

    dn = Field(bit=0, doc="AWUN and NAWUN need not be kept")


class AsyncEventConfiguration(Register, width=32, access=RO):
    """Asynchronous Event Configuration (§5.27.1.8)."""

    smart = Field(bits=(0, 7), doc="critical warnings that are reported, as in the SMART log")
    nan = Field(bit=8, doc="namespace attribute notices")
    fan = Field(bit=9, doc="firmware activation notices")
    tln = Field(bit=10, doc="telemetry log notices")
    anacn = Field(bit=11, doc="asymmetric namespace access change notices")


class Timestamp(Register, width=64, access=RO):
    """Timestamp (§5.27.1.10): the data structure of Get Features."""

    timestamp = Field(bits=(0, 47), doc="milliseconds since 1970, or since the reset")
    synch = Field(bit=48, doc="the controller may have stopped counting meanwhile")
    origin = Field(bits=(49, 51), doc="0: counts from the reset, 1: from what a host has set")


FEATURE_VALUES: Mapping[FeatureId, type[Register]] = {
    FeatureId.ARBITRATION: Arbitration,
    FeatureId.POWER_MANAGEMENT: PowerManagement,
    FeatureId.TEMPERATURE_THRESHOLD: TemperatureThreshold,
    FeatureId.ERROR_RECOVERY: ErrorRecovery,
    FeatureId.VOLATILE_WRITE_CACHE: VolatileWriteCache,
    FeatureId.NUMBER_OF_QUEUES: NumberOfQueues,
    FeatureId.INTERRUPT_COALESCING: InterruptCoalescing,
    FeatureId.INTERRUPT_VECTOR_CONFIGURATION: InterruptVectorConfiguration,
    FeatureId.WRITE_ATOMICITY: WriteAtomicity,
    FeatureId.ASYNC_EVENT_CONFIGURATION: AsyncEventConfiguration,
    FeatureId.TIMESTAMP: Timestamp,
}
"""What the value of each feature holds."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature as it was read; ``error`` says why it could not be, then the value is None.

    ``saveable``, ``per_namespace`` and ``changeable`` are None where the controller does not tell
    (ONCS bit 4, save and select).
    """

    fid: int
    value: int | None
    error: str = ""
    saveable: bool | None = None
    per_namespace: bool | None = None
    changeable: bool | None = None

    @property
    def name(self) -> str:
        """The specification's name in lower case, or the number."""
        try:
            return FeatureId(self.fid).name.lower().replace("_", " ")
        except ValueError:
            return f"feature {self.fid:#04x}"

    @property
    def decoded(self) -> Register | None:
        """The value by its fields; None if it was not read, or the feature is not known."""
        kind = _KINDS.get(self.fid)
        return None if kind is None or self.value is None else kind(self.value)

    def as_dict(self) -> dict[str, object]:
        """Return everything by name, ready for JSON."""
        decoded = self.decoded
        return {
            "fid": int(self.fid),
            "name": self.name,
            "value": self.value,
            "fields": {} if decoded is None else {k: int(v) for k, v in decoded.fields().items()},
            "saveable": self.saveable,
            "per_namespace": self.per_namespace,
            "changeable": self.changeable,
            "error": self.error or None,
        }


_KINDS: dict[int, type[Register]] = {int(fid): kind for fid, kind in FEATURE_VALUES.items()}


def read_features(admin: Admin, *, nsid: int = 1, tells: bool = True) -> tuple[Feature, ...]:
    """Read all features that the driver knows by name; a refused one has its ``error``."""
    return tuple(_try_feature(admin, fid, nsid, tells) for fid in FEATURE_VALUES)


def read_feature(admin: Admin, fid: int, *, nsid: int = 1, tells: bool = True) -> Feature:
    """Read one feature.  ``tells``: ask what may be done with it (save and select, ONCS bit 4).

    ``nsid`` is only sent for features of a namespace.  Raises StatusError.
    """
    scope = nsid if fid == FeatureId.ERROR_RECOVERY else 0
    if fid == FeatureId.TIMESTAMP:
        data = admin.get_features(fid, receive=_TIMESTAMP_SIZE).data
        value = int.from_bytes(data, "little")
    else:
        value = admin.get_features(fid, nsid=scope).result
    if not tells:
        return Feature(fid, value)
    try:
        bits = admin.get_features(fid, select=_CAPABILITIES, nsid=scope).result
    except StatusError:  # the value is there, that is what was asked for
        return Feature(fid, value)
    return Feature(
        fid,
        value,
        saveable=bool(bits & 1),
        per_namespace=bool(bits & 2),
        changeable=bool(bits & 4),
    )


def _try_feature(admin: Admin, fid: int, nsid: int, tells: bool) -> Feature:
    try:
        return read_feature(admin, fid, nsid=nsid, tells=tells)
    except StatusError as error:
        return Feature(fid, None, error=error.name or str(error))


def set_feature(
    admin: Admin, fid: int, value: int, *, save: bool = False, nsid: int = 1
) -> Feature:
    """Set a feature, ``save`` also for after the next reset, and return it as it then reads.

    Features of a namespace are set for ``nsid``.  Raises StatusError, CommandTimeout.
    """
    if fid == FeatureId.TIMESTAMP:
        admin.set_features(fid, 0, save=save, send=value.to_bytes(_TIMESTAMP_SIZE, "little"))
    else:
        scope = nsid if fid == FeatureId.ERROR_RECOVERY else 0
        admin.set_features(fid, value, save=save, nsid=scope)
    return read_feature(admin, fid, nsid=nsid, tells=False)
