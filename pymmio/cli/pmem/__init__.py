"""``pymmio pmem``: commands for persistent memory."""

from __future__ import annotations

import click

from pymmio.cli.lazy import LazyGroup

__all__ = ["pmem"]


@click.group(
    cls=LazyGroup,
    lazy={
        name: f"pymmio.cli.pmem.{module}:{name}"
        for name, module in (
            ("info", "info"),
            ("read", "copy"),
            ("write", "copy"),
            ("flush", "info"),
            ("bench", "bench"),
        )
    },
    epilog="""\b
Examples:
  pymmio pmem info sim:virtio-pmem
  pymmio pmem write 'qemu:virtio-pmem-pci?memory=disk.img' --input first.img --write
  pymmio pmem bench sim:virtio-pmem --threads 64

What is written is durable after a flush only.
""",
)
def pmem() -> None:
    """Read, write, flush and measure persistent memory (virtio-pmem)."""
