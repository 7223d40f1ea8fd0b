"""The whole exception tree of pymmio.

Every exception says what was asked, what was seen and, as ``hint``, what to do
next.  All of them derive from :class:`PymmioError`; each one also derives from
the Python exception that callers without knowledge of pymmio would expect.
"""

from __future__ import annotations

import errno
from typing import ClassVar

__all__ = [
    "AccessError",
    "AccessFault",
    "BadArgument",
    "BudgetExceeded",
    "BufferBusy",
    "Closed",
    "DeclarationError",
    "DeviceBusy",
    "DeviceFailed",
    "DeviceGone",
    "DeviceNotFound",
    "DeviceTimeout",
    "DmaError",
    "EventsLost",
    "FeatureMissing",
    "ForkedObject",
    "IommuFault",
    "IovaExhausted",
    "MappingLimit",
    "MediaError",
    "MioError",
    "Misaligned",
    "OutOfBounds",
    "PermissionRefused",
    "PolicyRefused",
    "ProtocolError",
    "PymmioError",
    "ReadOnly",
    "RegisterError",
    "ReplayIncomplete",
    "ReplayMismatch",
    "TraceFileError",
    "UnsafeRead",
    "UnsafeUpdate",
    "Unsupported",
    "UriError",
    "ValueOutOfRange",
    "VectorsExhausted",
    "WidthRefused",
    "WriteOnly",
]


class PymmioError(Exception):
    """Root of all exceptions of pymmio.

    ``hint`` is the next step for the person who reads the message, or None.
    """

    is_root_cause: ClassVar[bool] = False
    """Whether it explains what was raised before it: where closing raises it, it is told."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class BadArgument(PymmioError, ValueError):
    """An argument that makes no sense, such as a size of 0 or an alignment of 3."""


class UriError(PymmioError, ValueError):
    """A device URI that cannot be understood."""


class DeviceNotFound(PymmioError, LookupError):
    """No such device, model or backend."""


class DeviceBusy(PymmioError, OSError):
    """Somebody else holds the device (a kernel driver, another process)."""


class PermissionRefused(PymmioError, PermissionError):
    """The operating system refuses; the hint says which permission is missing."""


class PolicyRefused(PermissionRefused):
    """The authorisation policy of this program does not allow the device."""


class Unsupported(PymmioError, OSError):
    """The device, backend, kernel or architecture does not offer what was asked."""


class FeatureMissing(Unsupported):
    """The device does not offer a feature without which the driver cannot work."""


class VectorsExhausted(Unsupported):
    """The machine cannot give as many interrupt vectors as were asked for.

    ``possible`` is how many it can give, None where it does not say.
    """

    def __init__(
        self, message: str, *, possible: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.possible = possible


class Closed(PymmioError, ValueError):
    """The object was closed; open it again."""


class ForkedObject(Closed):
    """The object belongs to the parent process; open the device again after fork."""


class DeviceTimeout(PymmioError, TimeoutError):
    """The device did not do in time what was waited for.

    ``last`` is the last value that was read, where a wait reads one.
    """

    def __init__(self, message: str, *, last: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.last = last


class DeviceGone(PymmioError, OSError):
    """The device does not answer any more (all-ones, unplugged, server died)."""


class DeviceFailed(PymmioError, OSError):
    """The device says that it met an error from which only a reset helps."""


class EventsLost(PymmioError, OSError):
    """Events came faster than they were taken and some are lost: look at the state anew."""


class ProtocolError(PymmioError):
    """The device, or the other end of a connection, said something that it must not."""


# --- single accesses -------------------------------------------------------------------


class AccessError(PymmioError):
    """A single access to a region that was not made, or failed.

    ``region`` is the region's name, ``offset`` and ``width`` are in bytes,
    ``is_write`` tells the direction and ``value`` what should have been written.
    """

    def __init__(
        self,
        message: str,
        *,
        region: str = "",
        offset: int = 0,
        width: int = 0,
        is_write: bool = False,
        value: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.region = region
        self.offset = offset
        self.width = width
        self.is_write = is_write
        self.value = value


class OutOfBounds(AccessError, IndexError):
    """The access does not lie inside the region."""


class Misaligned(AccessError, ValueError):
    """The offset is not a multiple of what the region's AccessRule asks for."""


class WidthRefused(AccessError, ValueError):
    """The region's AccessRule does not allow accesses of this width."""


class ValueOutOfRange(AccessError, ValueError):
    """The value does not fit the width of the access."""


class ReadOnly(AccessError, PermissionError):
    """A write to something that can only be read."""


class WriteOnly(AccessError, PermissionError):
    """A read of something that can only be written."""


class AccessFault(AccessError, OSError):
    """The access was made and the machine reported a fault (SIGBUS, SIGSEGV, cc, errno).

    ``cause_code`` keeps what the machine said: the signal number, the condition
    code or the errno.  On PCI a store that raised nothing has not thereby arrived.
    """

    cause_code: int = 0


class MediaError(PymmioError, OSError):
    """Memory that keeps data has lost some: the machine reported an error of it (EIO).

    ``offset`` and ``size`` are the range, in bytes, that was not copied; ``moved`` is how many
    bytes before it were.
    """

    def __init__(
        self, message: str, *, offset: int, size: int, moved: int, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.errno = errno.EIO
        self.offset = offset
        self.size = size
        self.moved = moved


class MioError(PymmioError, OSError):
    """What s390x said about an access to PCI memory: the cause of an AccessFault.

    ``cc`` is the condition code (1 to 3), ``status`` the status byte of the instruction, None
    where the kernel made the access and told the condition code only.
    """

    def __init__(self, message: str, *, cc: int, status: int | None) -> None:
        super().__init__(message)
        self.cc = cc
        self.status = status


# --- registers -------------------------------------------------------------------------


class DeclarationError(PymmioError, TypeError):
    """A register, field or structure that is declared wrongly."""


class RegisterError(PymmioError, ValueError):
    """A register operation that makes no sense, such as a value wider than its field."""


class UnsafeUpdate(RegisterError):
    """A read-modify-write that would lose or trigger something (W1C, read side effects)."""


class UnsafeRead(RegisterError):
    """A read of many addresses that may change the device, such as a dump of a whole BAR."""


# --- DMA memory ------------------------------------------------------------------------


class DmaError(PymmioError, OSError):
    """Memory could not be made reachable for the device, or taken away from it."""


class IovaExhausted(DmaError):
    """No free range of I/O virtual addresses of the asked size and alignment."""


class MappingLimit(DmaError):
    """The IOMMU interface allows no more mappings."""


class IommuFault(DmaError):
    """A device access outside what was mapped for it."""


class BudgetExceeded(PymmioError, MemoryError):
    """More memory than the machine, the memlock limit or the budget allows."""


class BufferBusy(PymmioError, BufferError):
    """The memory cannot be released: the device or an exported view still uses it."""


# --- traces ----------------------------------------------------------------------------


class TraceFileError(PymmioError, ValueError):
    """A file that is no trace, or a damaged one; ``line`` is the number of the line."""

    def __init__(self, message: str, *, line: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line


class ReplayMismatch(PymmioError, AssertionError):
    """The driver did not do what the recording says that it did then."""

    is_root_cause = True


class ReplayIncomplete(ReplayMismatch):
    """The driver ended before it had done all that the recording says."""

    is_root_cause = False
