"""Exit codes, and errors as one line on standard error.

``PYMMIO_TRACEBACK=1`` shows the traceback before the line, for those who look for a bug.
"""

from __future__ import annotations

import enum
import os
import sys

import click

__all__ = ["TRACEBACK_VARIABLE", "ExitCode", "exit_code", "report"]

TRACEBACK_VARIABLE = "PYMMIO_TRACEBACK"

_NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())  # click 8.2 and newer


class ExitCode(enum.IntEnum):
    """What the exit code of a command means; scripts rely on the numbers."""

    OK = 0
    FAILURE = 1  #: the device, the library or the system reports an error
    USAGE = 2  #: the command cannot be carried out as it was written; nothing was touched
    REFUSED = 3  #: the operating system or the policy does not permit it
    NOT_FOUND = 4  #: there is no such device, or it is gone
    TIMEOUT = 5  #: the device did not answer in time
    BUSY = 6  #: somebody else holds the device: a kernel driver, another process
    INTERNAL = 70  #: a bug of pymmio, as sysexits.h numbers it
    INTERRUPTED = 130  #: Ctrl-C
    BROKEN_PIPE = 141  #: whoever read the output went away


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code that an exception stands for.

    What fails while a Ctrl-C is obeyed is still a Ctrl-C.
    """
    from pymmio import errors

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (KeyboardInterrupt, click.exceptions.Abort)):
            return ExitCode.INTERRUPTED
        cause = cause.__context__
    match error:
        case TimeoutError():
            return ExitCode.TIMEOUT
        case errors.AccessFault():
            return ExitCode.FAILURE
        case errors.AccessError() | errors.UriError() | errors.BadArgument():
            return ExitCode.USAGE  # refused by the rules, before an access was made
        case IndexError() if isinstance(error, errors.PymmioError):
            return ExitCode.USAGE  # outside of what the device has
        case PermissionError():
            return ExitCode.REFUSED
        case errors.DeviceNotFound() | errors.DeviceGone():
            return ExitCode.NOT_FOUND
        case errors.DeviceBusy():
            return ExitCode.BUSY
        case errors.PymmioError() | OSError():
            return ExitCode.FAILURE
        case click.UsageError():
            return ExitCode.USAGE
        case click.ClickException():
            return ExitCode.FAILURE
        case _:
            return ExitCode.INTERNAL


def report(error: BaseException) -> ExitCode:
    """Print one line about ``error`` on standard error; return the exit code.

    Nothing is printed for Ctrl-C itself, unless it has notes: the person knows.
    """
    code = exit_code(error)
    if isinstance(error, _NO_ARGUMENTS):
        click.echo(error.format_message(), err=True)
        return code
    if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    notes: list[str] = getattr(error, "__notes__", [])
    is_interrupt = isinstance(error, (KeyboardInterrupt, click.exceptions.Abort))
    if notes or not is_interrupt:
        told = "pymmio: interrupted" if is_interrupt else _line(error, code)
        click.echo(_flat("; ".join([told, *notes])), err=True)
    return code


def _line(error: BaseException, code: ExitCode) -> str:
    match error:
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "pymmio"
            message = error.format_message().rstrip(".")
            return f"{path}: {message[:1].lower()}{message[1:]} (see {path} --help)"
        case click.ClickException():
            return f"pymmio: {error.format_message()}"
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    if code is ExitCode.INTERNAL:
        text = (
            f"internal error, please report it: {type(error).__name__}: {text}"
            f" ({TRACEBACK_VARIABLE}=1 shows where)"
        )
    return f"pymmio: {text or type(error).__name__}"


def _flat(text: str) -> str:
    return " ".join(text.split())
