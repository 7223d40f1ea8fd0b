"""Virtio devices with memory served beside a guest, and what the host sees of it."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.vfio_user.serving import Host, Served, served, short_folder

SIZE = 16 << 20
QEMU_FILE = "qemu-pmem"  # in the folder that the guest shares: guests.PMEM
SERVED_FILE = "served-pmem"
SHM_TYPE = 42  # a virtio device that no driver of Linux takes


class MemoryHost(Host):
    """Tells what is in the files behind the memories, and how often QEMU flushed its own."""

    def answer(self, words: Sequence[str]) -> str:
        """Do what is asked."""
        match words:
            case ["memory", name, offset, size]:
                with (self._share / name).open("rb") as file:
                    data = os.pread(file.fileno(), int(size), int(offset))
                return hashlib.sha256(data).hexdigest()
            case ["flushes"]:
                log = (self._share / "qemu.log").read_text(errors="replace")
                return str(log.count("virtio_pmem_flush_done"))
        return super().answer(words)


@contextmanager
def beside_guest(folder: Path) -> Iterator[Mapping[str, str]]:
    """Serve a virtio-pmem device and one with two shared-memory regions."""
    share = folder / "share"
    file = share / SERVED_FILE
    with short_folder() as sockets, ExitStack() as stack:
        servers: dict[str, Served] = {}
        for name, model, options in (
            ("pmem", "virtio-pmem", ("--file", str(file), "--size", "16M")),
            ("shm", "virtio-shm", ("--count", "2", "--device-type", str(SHM_TYPE))),
        ):
            socket = sockets / f"{name}.sock"
            servers[name] = stack.enter_context(served(model, socket, *options))
        stop = threading.Event()
        host = threading.Thread(target=MemoryHost(folder, servers, file).serve, args=(stop,))
        host.start()
        try:
            yield {name.upper(): str(server.socket) for name, server in servers.items()}
        finally:
            stop.set()
            host.join()
