"""A recording as a script: what the driver did, and what the device did in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pymmio import errors
from pymmio.errors import PymmioError, TraceFileError
from pymmio.handle import CONFIG_REGION, IrqKind
from pymmio.trace import (
    AccessEvent,
    DeviceFacts,
    DmaEvent,
    IrqEvent,
    LifeEvent,
    MemoryEvent,
    RegisterNames,
)
from pymmio.trace.reading import TraceFile

__all__ = [
    "Access",
    "Gone",
    "Interrupt",
    "Mapping",
    "Memory",
    "Reset",
    "Script",
    "Step",
    "accesses",
    "failure_of",
]

_CONFIG_LIMIT = 4096
_PAGE_LIMIT = 1 << 21
_COUNT_LIMIT = 1 << 32
_KINDS = (errors.AccessFault, errors.DeviceGone, errors.DeviceTimeout, errors.ProtocolError)


@dataclass(frozen=True, slots=True)
class Access:
    """One access of the driver; a poll is ``count`` reads of the same value."""

    line: int
    index: int
    offset: int
    width: int
    is_write: bool
    value: int
    is_poll: bool = False
    count: int = 1
    error: str | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """The register: region, offset, width."""
        return self.index, self.offset, self.width

    @property
    def is_config_read(self) -> bool:
        """Whether it only looks at configuration space."""
        return self.index == CONFIG_REGION and not self.is_write


@dataclass(frozen=True, slots=True)
class Reset:
    """The driver resets the function."""

    line: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Memory:
    """The device writes ``data`` at ``offset`` into the mapping with the number ``mapping``."""

    line: int
    mapping: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The device interrupts."""

    line: int
    kind: IrqKind
    vector: int
    count: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The device leaves; the backend said so when it was asked."""

    line: int


Step = Access | Reset | Memory | Interrupt | Gone


@dataclass(frozen=True, slots=True)
class Mapping:
    """DMA memory that the driver mapped, the how manieth is its number."""

    iova: int
    size: int


@dataclass(slots=True)
class Script:
    """The steps of a recording; ``name`` of the file is for messages."""

    name: str
    device: DeviceFacts
    steps: list[Step]
    mappings: list[Mapping]
    names: dict[int, RegisterNames] = field(default_factory=dict)

    @classmethod
    def of(cls, file: TraceFile, name: str) -> Script:
        """Take what matters from a file.  Raises TraceFileError where it cannot be played."""
        if not file.is_recording:
            raise TraceFileError(
                f"{name} is a trace, not a recording",
                line=1,
                hint="Record with RecordingSink, or pymmio trace run --format record",
            )
        if file.lost:
            raise TraceFileError(f"{name} lacks {file.lost} events", line=1)
        _check_device(file.device, name)
        self = cls(name, file.device, [], [], file.names)
        sizes = {region.index: region.size for region in file.device.regions}
        active: dict[int, int] = {}
        for line, event in zip(file.lines, file.events, strict=True):
            match event:
                case AccessEvent():
                    self.steps.append(_access(name, line, event, sizes))
                case DmaEvent(kind="map"):
                    active[event.iova] = len(self.mappings)
                    self.mappings.append(Mapping(event.iova, event.size))
                case DmaEvent():
                    active.pop(event.iova, None)
                case MemoryEvent():
                    self.steps.append(self._memory(line, event, active))
                case IrqEvent(kind="irq"):
                    self.steps.append(_interrupt(name, line, event))
                case LifeEvent(kind="reset"):
                    self.steps.append(Reset(line, event.error))
                case LifeEvent(kind="gone"):
                    self.steps.append(Gone(line))
        return self

    def _memory(self, line: int, event: MemoryEvent, active: dict[int, int]) -> Memory:
        for iova, number in active.items():
            size = self.mappings[number].size
            if iova <= event.iova and event.iova + len(event.data) <= iova + size:
                return Memory(line, number, event.iova - iova, event.data)
        raise TraceFileError(
            f"{self.name}, line {line}: {len(event.data)} bytes at iova {event.iova:#x} are not"
            " inside what was mapped then",
            line=line,
            hint="The file was changed",
        )

    def show(self, index: int, offset: int, width: int, is_write: bool, value: int | None) -> str:
        """Return an access as messages show it, with the register's name if there is one."""
        region = next((r.name for r in self.device.regions if r.index == index), str(index))
        register, fields = "", ""
        if index in self.names:
            register = self.names[index].find(offset, width)[0]
            if value is not None:
                fields = self.names[index].fields_of(offset, width, value)
        text = f"{'write' if is_write else 'read'}{8 * width} {region}+{offset:#x}"
        if register:
            text += f" ({register})"
        if is_write and value is not None:
            text += f" = {value:#x}" + (f" ({fields})" if fields else "")
        return text

    def show_step(self, step: Access | Reset) -> str:
        """Return a step of the driver as messages show it."""
        if isinstance(step, Reset):
            return "reset"
        return self.show(step.index, step.offset, step.width, step.is_write, step.value)


def failure_of(text: str) -> PymmioError:
    """Return the exception that an access raised when it was recorded."""
    name, _, message = text.partition(": ")
    for kind in _KINDS:
        if kind.__name__ == name:
            return kind(message)
    return errors.AccessFault(text)


def _check_device(device: DeviceFacts, name: str) -> None:
    """Raise TraceFileError for a device that cannot be."""
    config = [region for region in device.regions if region.index == CONFIG_REGION]
    if not config:
        raise TraceFileError(f"{name} has no configuration space", line=1)
    if len({region.index for region in device.regions}) < len(device.regions):
        raise TraceFileError(f"{name} has a region twice", line=1)
    if config[0].size > _CONFIG_LIMIT:
        raise TraceFileError(f"{name} has {config[0].size} bytes of configuration space", line=1)
    if device.page_size & (device.page_size - 1) or device.page_size > _PAGE_LIMIT:
        raise TraceFileError(f"{name} has pages of {device.page_size} bytes", line=1)


def _access(name: str, line: int, event: AccessEvent, sizes: dict[int, int]) -> Access:
    if event.kind not in ("read", "write", "poll"):
        raise TraceFileError(f"{name}, line {line}: {event.kind!r} is no single access", line=line)
    index = event.index
    if index is None or index not in sizes:
        raise TraceFileError(f"{name}, line {line}: an access without a region", line=line)
    if event.position < 0 or event.position + event.width > sizes[index]:
        raise TraceFileError(f"{name}, line {line}: an access outside of its region", line=line)
    if event.value is None and event.error is None:
        raise TraceFileError(f"{name}, line {line}: an access without a value", line=line)
    return Access(
        line, index, event.position, event.width, event.kind == "write", event.value or 0,
        event.kind == "poll", event.count, event.error,
    )  # fmt: skip


def _interrupt(name: str, line: int, event: IrqEvent) -> Interrupt:
    try:
        kind = IrqKind(event.irq)
    except ValueError:
        raise TraceFileError(f"{name}, line {line}: interrupt {event.irq!r}", line=line) from None
    if not 1 <= event.count <= _COUNT_LIMIT:
        raise TraceFileError(f"{name}, line {line}: {event.count} interrupts", line=line)
    return Interrupt(line, kind, event.vector, event.count)


def accesses(steps: Sequence[Step]) -> list[tuple[int, Access]]:
    """Return the accesses with their positions."""
    return [(at, step) for at, step in enumerate(steps) if isinstance(step, Access)]
