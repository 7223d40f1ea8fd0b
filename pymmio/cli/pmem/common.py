"""What the commands for persistent memory have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from pymmio.cli.options import DeviceCommand, Target

if TYPE_CHECKING:
    from pymmio_drivers.virtio_pmem import VirtioPmem

__all__ = ["CHUNK_SIZE", "PmemCommand", "open_pmem"]

CHUNK_SIZE = 1 << 20
"""Bytes that move at once where data goes to or comes from a file."""


class PmemCommand(DeviceCommand):
    """A command on persistent memory: gets ``memory`` too."""

    def __init__(
        self, name: str | None, *, params: Sequence[click.Parameter] | None = None, **kwargs: Any
    ) -> None:
        memory = click.Option(
            ["--memory"],
            metavar="PATH",
            help="The device that the kernel made of this memory, such as /dev/pmem0.",
        )
        super().__init__(name, params=[*(params or ()), memory], **kwargs)


@contextmanager
def open_pmem(target: Target, memory: str | None) -> Iterator[VirtioPmem]:
    """Open the device and start it; it is stopped at the end."""
    from pymmio.cli.output import waiting
    from pymmio_drivers.virtio_pmem import VirtioPmem

    with ExitStack() as stack:
        with waiting(f"waiting for {target.uri}"):
            device = stack.enter_context(target.open())
            pmem = stack.enter_context(VirtioPmem.open(device, memory=memory))
        yield pmem
