"""What can go wrong with an NVMe controller, as exceptions.

Errors of the device are :class:`StatusError` and below, one subclass for each status code
type and a few for codes that programs want to catch by themselves (see ``status.py``).
Mistakes of the caller are found before anything is sent.
"""

from __future__ import annotations

from pymmio.errors import Closed, DeviceGone, DeviceNotFound, DeviceTimeout, PymmioError

__all__ = [
    "BufferMisaligned",
    "BufferReadOnly",
    "BufferSizeMismatch",
    "CommandAborted",
    "CommandSpecificError",
    "CommandTimeout",
    "CompareFailure",
    "ControllerClosed",
    "ControllerFailed",
    "ControllerFatal",
    "ControllerGone",
    "GenericStatusError",
    "InvalidField",
    "InvalidNamespace",
    "InvalidOpcode",
    "LbaOutOfRange",
    "MediaStatusError",
    "NamespaceNotFound",
    "NotDmaMemory",
    "NvmeError",
    "PathError",
    "StatusError",
    "VendorStatusError",
]


class NvmeError(PymmioError):
    """Root of the exceptions of the NVMe driver."""


# --- the controller as a whole ---------------------------------------------------------


class ControllerFatal(NvmeError):
    """The controller reports CSTS.CFS: a fatal error that only a reset ends."""


class ControllerFailed(NvmeError):
    """The controller could not be brought back; close it, its memory is safe.

    ``__cause__`` is what went wrong first.
    """


class ControllerGone(ControllerFailed, DeviceGone):
    """The device has left the machine, or does not answer any more.

    ``__cause__`` is how that was seen.  Whether a command that was outstanding had an effect
    is unknown.
    """


class ControllerClosed(NvmeError, Closed):
    """The controller was closed, or its device; open it again.

    ``__cause__`` says so where the device was closed first, or had left by then.
    """


class CommandTimeout(NvmeError, DeviceTimeout):
    """A command was not completed in time; it was aborted, or the controller reset."""


# --- status of a command ---------------------------------------------------------------


class StatusError(NvmeError):
    """The controller completed a command with an error.

    ``status`` is the whole field without the phase bit, ``sct`` and ``sc`` are type and
    code; ``name`` and ``meaning`` are the specification's words.  ``do_not_retry`` says
    that the same command would fail again, ``more`` that the error log knows more.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        name: str = "",
        meaning: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.name = name
        self.meaning = meaning

    @property
    def sct(self) -> int:
        """Status code type."""
        return self.status >> 8 & 7

    @property
    def sc(self) -> int:
        """Status code."""
        return self.status & 0xFF

    @property
    def more(self) -> bool:
        """Whether the error information log has an entry about this command."""
        return bool(self.status >> 13 & 1)

    @property
    def do_not_retry(self) -> bool:
        """Whether the same command would fail again."""
        return bool(self.status >> 14 & 1)


class GenericStatusError(StatusError):
    """Status code type 0: errors that any command may have."""


class CommandSpecificError(StatusError):
    """Status code type 1: errors of this kind of command."""


class MediaStatusError(StatusError):
    """Status code type 2: media and data integrity."""


class PathError(StatusError):
    """Status code type 3: the path to the controller or namespace."""


class VendorStatusError(StatusError):
    """Status code type 7, or a code from a range that is left to vendors."""


class InvalidOpcode(GenericStatusError):
    """The controller does not know the command."""


class InvalidField(GenericStatusError, ValueError):
    """A field of the command has a value that the controller refuses."""


class InvalidNamespace(GenericStatusError, LookupError):
    """The namespace does not exist, is not active, or has another format."""


class LbaOutOfRange(GenericStatusError, IndexError):
    """The blocks lie beyond the end of the namespace (seen before sending, or by the device)."""


class CommandAborted(GenericStatusError):
    """The command was aborted: on request, by deletion of its queue, or by a reset.

    Whether it had an effect is unknown.
    """


class CompareFailure(MediaStatusError):
    """The data on the media is not the data of the compare command."""


# --- mistakes of the caller, found before anything is sent ------------------------------


class NamespaceNotFound(NvmeError, DeviceNotFound, KeyError):
    """The controller has no active namespace with this id."""


class NotDmaMemory(NvmeError, TypeError):
    """The object is no memory that the device can reach."""


class BufferReadOnly(NvmeError, TypeError):
    """The device should write to memory that is read-only."""


class BufferSizeMismatch(NvmeError, ValueError):
    """The buffer is too small, or its size is no multiple of the block size."""


class BufferMisaligned(NvmeError, ValueError):
    """The buffer does not start at a multiple of 4 bytes (PRP entries have no bits 1:0)."""
