"""What commands that open a device have in common: URI, --access, --trace, --json."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from pymmio.cli.complete import complete_uri

if TYPE_CHECKING:
    from pymmio.device import Device
    from pymmio.trace import AccessEvent

__all__ = [
    "ACCESS_WAYS",
    "DeviceCommand",
    "Target",
    "ask",
    "json_option",
    "require_write",
    "require_yes",
    "yes_option",
]

ACCESS_WAYS = ("auto", "mapped", "mio", "syscall", "pread", "message")
"""The values of pymmio.handle.Access, which is not imported here."""


@dataclass(frozen=True, slots=True)
class Target:
    """The device that a command works on, and how it wants it opened."""

    uri: str
    access: str = "auto"
    trace: bool = False

    @property
    def is_simulated(self) -> bool:
        """Whether it is a model in this process, without a file: nobody can miss its content."""
        from pymmio.uri import DeviceUri

        uri = DeviceUri.parse(self.uri)
        return uri.scheme == "sim" and "file" not in uri.options

    def open(self) -> Device:
        """Open the device; raises what :func:`pymmio.open_device` raises."""
        from pymmio import open_device

        sink = _TraceToStderr() if self.trace else None
        return open_device(self.uri, access=self.access, trace=sink)


class DeviceCommand(click.Command):
    """A command on a device: gets ``target`` and ``as_json`` besides its own parameters.

    The argument URI stands before the command's own arguments, the common options behind its
    own options.
    """

    def __init__(
        self, name: str | None, *, params: Sequence[click.Parameter] | None = None, **kwargs: Any
    ) -> None:
        common = [
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
            click.Option(
                ["--access"],
                type=click.Choice(ACCESS_WAYS),
                default="auto",
                help="How single accesses reach the device: that way, or an error.",
            ),
            click.Option(["--trace"], is_flag=True, help="Print each access on standard error."),
        ]
        uri = click.Argument(["uri"], metavar="URI", shell_complete=complete_uri)
        super().__init__(name, params=[uri, *(params or ()), *common], **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command with one Target instead of the three parameters that make it."""
        values = ctx.params
        values["target"] = Target(values.pop("uri"), values.pop("access"), values.pop("trace"))
        return super().invoke(ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""For commands that open no device."""


class _TraceToStderr:
    """Prints each access with its time since the first one."""

    def __init__(self) -> None:
        self._start_ns: int | None = None

    def __call__(self, event: AccessEvent) -> None:
        start = self._start_ns = event.time_ns if self._start_ns is None else self._start_ns
        print(f"{(event.time_ns - start) / 1e9:12.6f} {event}", file=sys.stderr)


def require_write(allowed: bool, what: str) -> None:
    """Raise UsageError unless ``--write`` was given; nothing was opened until then."""
    if not allowed:
        raise click.UsageError(
            f"{what}: nothing was touched, add --write if you mean it",
            click.get_current_context(silent=True),
        )


# --- commands that destroy or change something for good --------------------------------------

yes_option = click.option(
    "-y", "--yes", is_flag=True, help="Do not ask; needed where nobody can be asked, save on sim:."
)
"""The command calls :func:`require_yes` first and :func:`ask` when it knows what is at stake."""


def require_yes(yes: bool, target: Target, what: str) -> bool:
    """Return whether to ask; raise UsageError where it takes ``--yes`` as nobody can be asked.

    Nothing was opened until then.  Models without a file need neither.
    """
    if yes or target.is_simulated:
        return False
    if sys.stdin.isatty() and sys.stderr.isatty():
        return True
    raise click.UsageError(
        f"{what}: nothing was touched, add --yes if you mean it",
        click.get_current_context(silent=True),
    )


def ask(question: str) -> None:
    """Ask on the terminal; raise UsageError unless the answer is yes."""
    if not click.confirm(f"{question} Go on?", err=True):
        raise click.UsageError(
            "the answer was no: nothing was changed", click.get_current_context(silent=True)
        )
