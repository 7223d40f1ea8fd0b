"""What the commands for NVMe controllers have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from pymmio.cli.options import DeviceCommand, Target

if TYPE_CHECKING:
    from pymmio.dma import DmaBuffer
    from pymmio_drivers.nvme import Controller, Namespace

__all__ = [
    "NamespaceCommand",
    "chunk_buffer",
    "chunks",
    "open_controller",
    "require_range",
]

CHUNK_SIZE = 1 << 20
"""Bytes that move at once where data goes to or comes from a file."""

_USUAL_DEPTH = 64


class NamespaceCommand(DeviceCommand):
    """A command on one namespace: gets ``nsid`` too."""

    def __init__(
        self, name: str | None, *, params: Sequence[click.Parameter] | None = None, **kwargs: Any
    ) -> None:
        nsid = click.Option(
            ["-n", "--namespace", "nsid"],
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Namespace id.",
        )
        super().__init__(name, params=[*(params or ()), nsid], **kwargs)


@contextmanager
def open_controller(target: Target, *, queue_depth: int = 1) -> Iterator[Controller]:
    """Open the device and start its controller; both are closed at the end.

    The I/O queue has room for ``queue_depth`` commands at least, if the controller has.
    """
    from pymmio.cli.output import waiting
    from pymmio_drivers.nvme import Controller

    depth = None if queue_depth <= _USUAL_DEPTH else queue_depth + 1
    with ExitStack() as stack:
        with waiting(f"waiting for the controller {target.uri}"):
            device = stack.enter_context(target.open())
            controller = stack.enter_context(Controller.open(device, depth=depth))
        yield controller


def require_range(namespace: Namespace, lba: int, blocks: int) -> None:
    """Raise LbaOutOfRange unless all the blocks exist, before the first of many commands."""
    from pymmio_drivers.nvme import LbaOutOfRange

    if lba + blocks > namespace.block_count:
        raise LbaOutOfRange(
            f"blocks {lba} to {lba + blocks - 1} were asked for, the last one of {namespace} is"
            f" {namespace.block_count - 1}",
            hint="Nothing was sent",
        )


def chunks(namespace: Namespace, lba: int, blocks: int) -> Iterator[tuple[int, int]]:
    """Cut a range into (lba, blocks) of at most CHUNK_SIZE bytes."""
    step = _chunk_blocks(namespace)
    for at in range(0, blocks, step):
        yield lba + at, min(step, blocks - at)


def chunk_buffer(namespace: Namespace, blocks: int) -> DmaBuffer:
    """Allocate memory for the largest chunk of ``blocks`` blocks; the caller closes it."""
    size = min(blocks, _chunk_blocks(namespace)) * namespace.block_size
    return namespace.controller.alloc(size)


def _chunk_blocks(namespace: Namespace) -> int:
    return max(1, CHUNK_SIZE // namespace.block_size)
