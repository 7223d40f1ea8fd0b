"""Models served beside a guest by ``pymmio serve``, each by a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

from tests import newer_qemu
from tests.guest.guest import BesideFailure
from tests.guest.guests import MESSAGE_MS
from tests.guest.process import LineProcess, line_process
from tests.vfio_user.asking import ANSWER, ASK
from tests.vfio_user.cases.disk import SIZE

PROJECT = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "pymmio.cli", "serve")
START_S = 30.0
STOP_S = 10.0
LOOK_S = 0.02


class Served:
    """A model on a socket; ``log`` is what its server printed."""

    def __init__(self, model: str, socket: Path, *options: str) -> None:
        self.model = model
        self.socket = socket
        self.log: list[str] = []
        self.complaint = ""
        self._options = options
        self._stack = ExitStack()
        self._process: LineProcess | None = None

    def start(self) -> None:
        """Start the server and wait until it listens."""
        command = [*SERVE, self.model, "--socket", str(self.socket), *self._options]
        process = self._stack.enter_context(line_process(command, cwd=PROJECT))
        deadline = monotonic() + START_S
        while not any(line.startswith("serving ") for line in self.log):
            lines = process.lines(deadline - monotonic())
            self.log += lines or ()
            assert lines is not None, f"the server ended: {self.log}"
            assert monotonic() < deadline, f"the server does not listen: {self.log}"
        self._process = process

    def follow(self) -> None:
        """Take what the server printed, so that its pipe does not fill."""
        if self._process is not None:
            self.log += self._process.lines(0) or ()

    def kill(self) -> None:
        """End the server as a crash does; the next ``start`` listens anew."""
        self.follow()
        if self._process is not None:
            self._process.process.kill()
            self._process = None
        self._stack.close()
        self.log.clear()

    def stop(self) -> None:
        """Ask the server to end, which it must do in time with status 0; see ``complaint``."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.process.terminate()
        try:
            status: int | None = process.process.wait(STOP_S)
            while lines := process.lines(0):
                self.log += lines
        except subprocess.TimeoutExpired:
            status = None
        finally:
            self._stack.close()
        if status != 0 or len(self.log) != 1:
            self.complaint = f"the server of {self.model} ended with {status}, it said {self.log}"


@contextmanager
def served(model: str, socket: Path, *options: str) -> Iterator[Served]:
    """Serve a model for the block.  Raises BesideFailure when it did not do well."""
    server = Served(model, socket, *options)
    try:
        server.start()
        yield server
        server.stop()
        if server.complaint:
            raise BesideFailure(server.complaint)
    finally:
        server.kill()


@contextmanager
def short_folder() -> Iterator[Path]:
    """Yield a folder whose sockets have names that fit (108 bytes, unix(7))."""
    with tempfile.TemporaryDirectory(prefix="pymmio-") as name:
        yield Path(name)


def uri_through_qemu(socket: Path, binary: Path | None = None, **options: str) -> str:
    """Return the URI of a QEMU without a guest that has what is served at ``socket``."""
    device = {
        "driver": "vfio-user-pci",
        "socket": {"type": "unix", "path": str(socket)},
        "x-msg-timeout": MESSAGE_MS,
    }
    query = {"binary": str(binary or newer_qemu.program()), "ram": "64M", **options}
    return f"qemu:{json.dumps(device)}?{'&'.join(f'{k}={v}' for k, v in query.items())}"


class Host:
    """What cases may ask of the host while they run; see tests.vfio_user.asking."""

    def __init__(self, folder: Path, servers: Mapping[str, Served], disk: Path) -> None:
        self._share = folder / "share"
        self._servers = servers
        self._disk = disk
        self._started: list[Served] = []

    def answer(self, words: Sequence[str]) -> str:
        """Do what is asked."""
        match words:
            case ["kill", name]:
                self._servers[name].kill()
                return "killed"
            case ["start", name]:
                self._servers[name].start()
                self._started.append(self._servers[name])
                return str(self._servers[name].socket)
            case ["digest", offset, size]:
                with self._disk.open("rb") as image:
                    data = os.pread(image.fileno(), int(size), int(offset))
                return hashlib.sha256(data).hexdigest()
            case ["file", path]:
                # debugfs reads the file system in the image without the kernel (debugfs(8)).
                done = subprocess.run(
                    ["/sbin/debugfs", "-R", f"cat {path}", str(self._disk)],
                    capture_output=True,
                    check=True,
                    timeout=60,
                )
                return hashlib.sha256(done.stdout).hexdigest()
            case ["log", name]:
                self._servers[name].follow()
                return "\n".join(self._servers[name].log)
        raise ValueError(f"nobody knows how to {' '.join(words)}")

    def serve(self, stop: threading.Event) -> None:
        """Answer questions until ``stop`` is set; stop servers that were started here.

        They would be killed with this thread (prctl(2), PR_SET_PDEATHSIG).
        """
        try:
            self._serve(stop)
        finally:
            for server in self._started:
                server.stop()

    def _serve(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_S):
            for server in self._servers.values():
                server.follow()
            for question in sorted(self._share.glob(f"{ASK}*")):
                words = question.read_text().split()
                question.unlink()
                try:
                    said = "+" + self.answer(words)
                except Exception as error:
                    said = f"-{type(error).__name__}: {error}"
                answer = self._share / question.name.replace(ASK, ANSWER, 1)
                (self._share / "writing").write_text(said)
                (self._share / "writing").rename(answer)


@contextmanager
def beside_guest(folder: Path) -> Iterator[Mapping[str, str]]:
    """Serve a disk, an access recorder and an edu device for a guest; answer its questions."""
    disk = folder / "served.img"
    disk.touch()
    os.truncate(disk, SIZE)
    with short_folder() as sockets, ExitStack() as stack:
        servers = {
            name: stack.enter_context(served(model, sockets / f"{name}.sock", *options))
            for name, model, options in (
                ("nvme", "nvme", ("--file", str(disk))),
                ("recorder", "access-recorder", ("--msix", "1")),
                ("edu", "edu", ()),
            )
        }
        stop = threading.Event()
        host = threading.Thread(target=Host(folder, servers, disk).serve, args=(stop,))
        host.start()
        try:
            yield {name.upper(): str(server.socket) for name, server in servers.items()}
        finally:
            stop.set()
            host.join()
