"""``pymmio serve``: device models on UNIX sockets, for programs that speak vfio-user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pymmio.cli.complete import complete_model

if TYPE_CHECKING:
    from types import FrameType

    from pymmio.backend.vfio_user.server import Server

__all__ = ["serve"]

NEXT = "+"
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """A model to be served: its name, its socket and its options."""

    model: str
    socket: str
    options: dict[str, str]


class ServeCommand(click.Command):
    """Takes several models, with ``+`` in between; options that it lacks are the model's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the first model's arguments; those of the others become ``ctx.obj``."""
        first, *others = _split(args)
        ctx.obj = [_parse(self, ctx, group) for group in others]
        return super().parse_args(ctx, first)


def _split(args: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for arg in args:
        if arg == NEXT:
            groups.append([])
        else:
            groups[-1].append(arg)
    return groups


def _parse(command: click.Command, ctx: click.Context, args: list[str]) -> Order:
    other = click.Context(
        command, parent=ctx.parent, info_name=ctx.info_name, **command.context_settings
    )
    click.Command.parse_args(command, other, list(args))
    values = other.params
    return _order(other, values["model"], values["socket"], values["options"])


def _order(
    ctx: click.Context, model: str | None, socket: str | None, options: Sequence[str]
) -> Order:
    if model is None or model.startswith("-"):
        raise click.UsageError("name the model first, such as: nvme --socket /run/nvme.sock", ctx)
    if socket is None:
        raise click.UsageError(f"where shall {model} be served? Give --socket PATH", ctx)
    given = [*_pairs(ctx, options), *_own_options(ctx)]
    named = dict(given)
    if len(named) != len(given):
        raise click.UsageError("an option of the model is given twice", ctx)
    return Order(model, socket, named)


def _pairs(ctx: click.Context, options: Sequence[str]) -> Iterator[tuple[str, str]]:
    for option in options:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--option {option}: write NAME=VALUE", ctx)
        yield name, value


def _own_options(ctx: click.Context) -> Iterator[tuple[str, str]]:
    """Give the options of the model: ``--size 64M``, ``--size=64M``, a switch alone is "on"."""
    rest = list(ctx.args)
    while rest:
        text = rest.pop(0)
        if not text.startswith("--"):
            raise click.UsageError(f"{text!r} is no option: several models have + in between", ctx)
        name, equals, value = text[2:].partition("=")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "on"
        yield name.replace("-", "_"), value


@click.command(
    cls=ServeCommand,
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": ["-h", "--help"],
    },
    short_help="Serve device models to other programs (vfio-user).",
    epilog="""\b
Examples:
  pymmio serve nvme --socket /run/nvme.sock --file disk.img
  pymmio serve nvme --socket /run/nvme.sock --size 64M --option serial=A1
  pymmio serve access-recorder --socket /tmp/r.sock --file accesses.jsonl
  pymmio serve edu --socket /tmp/a.sock + edu --socket /tmp/b.sock    # two devices
  pymmio serve --list

\b
A program of pymmio opens it as vfio-user:/run/nvme.sock. QEMU 10.1 and newer:
  -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/run/nvme.sock"}}'
  with memory that can be shared: -object memory-backend-memfd,id=ram,size=1G,share=on
""",
)
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--socket", metavar="PATH", type=click.Path(dir_okay=False), help="Where it listens.")
@click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    help="An option of the model, as in the query of sim:MODEL?NAME=VALUE.",
)
@click.option(
    "--list", "as_list", is_flag=True, help="Print the models, with their options and defaults."
)
@click.option(
    "--owner", metavar="PID", type=int, hidden=True, help="End when it is not the parent."
)
@click.pass_context
def serve(
    ctx: click.Context,
    model: str | None,
    socket: str | None,
    options: tuple[str, ...],
    as_list: bool,
    owner: int | None,
) -> None:
    """Serve a device MODEL on a socket until SIGTERM or Ctrl-C.

    All options but these are the model's: --size 64M is size=64M; one that it lacks is refused with
    the names of its own. One client is served at a time, each finds the device as after power-on;
    what is stored, such as the blocks of a disk, stays. Prints a line when it listens.
    """
    if as_list:
        _print_models()
        return
    orders = [_order(ctx, model, socket, options), *ctx.obj]
    _serve(orders, owner)


def _print_models() -> None:
    import importlib

    from pymmio.backend.served import served_models
    from pymmio.cli.output import print_plain

    for entry in served_models().values():
        model = entry.load()
        about = (importlib.import_module(entry.module).__doc__ or "").strip().splitlines()
        print_plain(f"{entry.name}: {about[0] if about else ''}")
        if options := [_option_text(*option) for option in model.offered_options().items()]:
            print_plain(click.wrap_text(" ".join(options), 98, "    ", "    "))


def _option_text(name: str, default: object) -> str:
    """Return --name=default as the command takes it, --name=NAME for what has no default."""
    match default:
        case None:
            return f"--{name}={name.upper()}"
        case bool():
            return f"--{name}={'on' if default else 'off'}"
        case int() if default > 0xFFFF:
            return f"--{name}={default:#x}"
    return f"--{name}={default}"


def _serve(orders: Sequence[Order], owner: int | None) -> None:
    import os
    import signal
    import threading
    from contextlib import ExitStack

    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    with ExitStack() as undo:
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.signal(number, end)
            undo.callback(signal.signal, number, before)
        servers = [undo.enter_context(_start(order)) for order in orders]
        for order, server in zip(orders, servers):
            click.echo(f"serving {order.model} on {server.path}")
        while not stop.wait(_LOOK_S if owner is not None else None):
            if os.getppid() != owner:
                return


def _start(order: Order) -> Server:
    from pymmio.backend.served import make_served_model
    from pymmio.backend.vfio_user.server import serve as start

    model = make_served_model(order.model, order.options, asked=f"serve {order.model}")
    return start(model, order.socket, name=order.model)
