"""A QEMU in a thread: the qtest protocol, a machine with one device, the bell, an IOMMU.

It takes the place of :class:`~pymmio.backend.qtest.process.QemuProcess`.
"""

from __future__ import annotations

import array
import os
import re
import select
import socket
import struct
import threading
from collections.abc import Sequence

ECAM = 0xB0000000
BELL = 0xFE00000C
IOMMU = 0xFED90000
WIDTHS = {"b": 1, "w": 2, "l": 4, "q": 8}


class FakeFunction:
    """A configuration space: bytes, and which of their bits software can write."""

    def __init__(self, *, vendor: int = 0x1AF4, device: int = 0x10F0, header: int = 0) -> None:
        self.data = bytearray(4096)
        self.mask = bytearray(4096)
        self.initial = b""
        self.put("<HH", 0, vendor, device)
        self.data[0x0E] = header
        self.let_write("<H", 4, 0x0407)

    def put(self, form: str, offset: int, *values: int) -> None:
        struct.pack_into(form, self.data, offset, *values)

    def let_write(self, form: str, offset: int, *values: int) -> None:
        struct.pack_into(form, self.mask, offset, *values)

    def read(self, offset: int, width: int) -> int:
        return int.from_bytes(self.data[offset : offset + width], "little")

    def write(self, offset: int, width: int, value: int) -> None:
        for index, byte in enumerate(value.to_bytes(width, "little")):
            at = offset + index
            self.data[at] = self.data[at] & ~self.mask[at] | byte & self.mask[at]

    def reset(self) -> None:
        self.data[:] = self.initial


def device_function() -> FakeFunction:
    """BAR0: 64-bit, 8 KiB; BAR2: 256 bytes; BAR4: 64 ports; ROM; PM, MSI, MSI-X, PCI Express."""
    one = FakeFunction()
    one.put("<H", 6, 0x10)
    one.put("<IIIII", 0x10, 0x0C, 0, 0, 0, 0x01)
    one.let_write("<IIIII", 0x10, 0xFFFFE000, 0xFFFFFFFF, 0xFFFFFF00, 0, 0xFFFFFFC0)
    one.let_write("<I", 0x30, 0xFFFFF801)
    one.put("<B", 0x34, 0x40)
    one.put("<B", 0x3D, 1)
    one.put("<BBHHH", 0x40, 0x01, 0x50, 3, 0, 0)  # power management
    one.let_write("<H", 0x44, 0x0003)
    one.put("<BBH", 0x50, 0x05, 0x70, 1 << 7 | 2 << 1)  # MSI: 64 bits, 4 vectors
    one.let_write("<HIIH", 0x52, 0x0071, 0xFFFFFFFC, 0xFFFFFFFF, 0xFFFF)
    one.put("<BBHII", 0x70, 0x11, 0x80, 7, 0x1000, 0x1800)  # MSI-X: 8 vectors in BAR0
    one.let_write("<H", 0x72, 0xC000)
    one.put("<BBHI", 0x80, 0x10, 0, 2, 1 << 28)  # PCI Express, with FLR
    one.let_write("<H", 0x88, 0x7FFF)
    one.initial = bytes(one.data)
    return one


class FakeQemu:
    """One thread that answers; ``device`` is the function behind the port."""

    def __init__(self, command: Sequence[str], *, fds: Sequence[int]) -> None:
        self.command = list(command)
        line = " ".join(command)
        self.socket = socket.socket(fileno=os.dup(_number(r"-qtest unix:fd=(\d+)", line)))
        self.bell = socket.socket(fileno=os.dup(_number(r"id=bell,fd=(\d+)", line)))
        self.ram = os.dup(_number(r"id=ram,.*?/proc/self/fd/(\d+)", line))
        self.fds = fds
        self.device = device_function()
        self.port = FakeFunction(header=1)
        self.port.let_write("<I", 0x3C, 0x00400000)
        self.bell_function = FakeFunction()
        self.functions = {(1, 0): self.device, (0, 3): self.port, (0, 4): self.bell_function}
        self.memory = bytearray(0x2000)
        self.ports = bytearray(64)
        self.accesses: list[str] = []
        self.peers: dict[int, list[int]] = {}
        self.ids: list[int] = []
        self.iommu: dict[int, int] = {}
        self.resets = 0
        self.is_deaf = False
        self.is_intercepted = False
        self.lock = threading.RLock()
        self.stop_reading, self._stop_writing = os.pipe()
        self.pidfd_reading, self._pidfd_writing = os.pipe()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    # --- QemuProcess ---------------------------------------------------------------------

    pid = 0

    def open_pidfd(self) -> int:
        return os.dup(self.pidfd_reading)

    def has_ended(self) -> bool:
        return self.is_over.is_set()

    def wait(self, timeout_s: float) -> bool:
        return self.is_over.wait(timeout_s)

    def status(self) -> str:
        return "it ended with status 7"

    def last_words(self) -> str:
        return "last words"

    def stop(self) -> None:
        if self._stop_writing < 0:
            return
        os.close(self._stop_writing)
        self._stop_writing = -1
        self.thread.join(10)
        for fd in (self.ram, self.stop_reading, self.pidfd_reading):
            os.close(fd)
        for fds in self.peers.values():
            for fd in fds:
                os.close(fd)
        self.bell.close()

    def die(self) -> None:
        """End by itself."""
        with self.lock:
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)

    # --- the protocol --------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
        except (BrokenPipeError, ConnectionResetError):
            pass  # who has enough goes
        finally:
            self.is_over.set()
            os.close(self._pidfd_writing)
            self.socket.close()

    def _serve(self) -> None:
        received = b""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.register(self.stop_reading, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll(30000)}
            if self.stop_reading in ready or not ready:
                return
            data = self.socket.recv(4096)
            if not data:
                return
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                with self.lock:
                    answer = self._answer(line.decode())
                    if not self.is_deaf:
                        self.socket.sendall(answer.encode() + b"\n")

    def _answer(self, line: str) -> str:
        verb, *words = line.split()
        if verb == "irq_intercept_in":
            self.is_intercepted = True
            return "OK"
        self.accesses.append(line)
        numbers = [int(word, 16) for word in words]
        width = WIDTHS[verb[-1]]
        if verb[:-1] == "read":
            return f"OK 0x{self._read(numbers[0], width):016x}"
        if verb[:-1] == "write":
            self._write(numbers[0], width, numbers[1])
            return "OK"
        if verb[:-1] == "in":
            at = numbers[0] - self.device.read(0x20, 4) + 1
            value = int.from_bytes(self.ports[at : at + width], "little")
            return f"OK 0x{value:x}"
        if numbers[0] not in (0xCF8, 0xCFC):
            at = numbers[0] - self.device.read(0x20, 4) + 1
            self.ports[at : at + width] = numbers[1].to_bytes(width, "little")
        return "OK"

    # --- the machine ---------------------------------------------------------------------

    def _function(self, address: int) -> FakeFunction | None:
        if not ECAM <= address < ECAM + (1 << 28):
            return None
        bus, device = address >> 20 & 0xFF, address >> 15 & 0x1F
        return self.functions.get((bus, device))

    def _in_bar0(self, address: int) -> int | None:
        start = self.device.read(0x10, 8) & ~0xF
        is_on = self.device.read(4, 2) & 2
        if is_on and start <= address < start + len(self.memory):
            return address - start
        return None

    def _read(self, address: int, width: int) -> int:
        if ECAM <= address < ECAM + (1 << 28):
            one = self._function(address)
            return (1 << 8 * width) - 1 if one is None else one.read(address & 0xFFF, width)
        if (at := self._in_bar0(address)) is not None:
            return int.from_bytes(self.memory[at : at + width], "little")
        if address & ~0xFFF == IOMMU:
            return self.iommu.get(0x18, 0) if address & 0xFFF == 0x1C else 0
        return 0

    def _write(self, address: int, width: int, value: int) -> None:
        if one := self._function(address):
            before = self.port.read(0x3E, 2)
            one.write(address & 0xFFF, width, value)
            is_flr = one is self.device and address & 0xFFF == 0x88 and value & 1 << 15
            if is_flr or ~before & self.port.read(0x3E, 2) & 0x40:
                self.resets += 1
                self.device.reset()
                self.memory[0x1000:0x1080] = struct.pack("<IIII", 0, 0, 0, 1) * 8
        elif (at := self._in_bar0(address)) is not None:
            self.memory[at : at + width] = value.to_bytes(width, "little")
        elif address == BELL:
            self.ring(value)
        elif address & ~0xFFF == IOMMU:
            self.iommu[address & 0xFFF] = value

    # --- interrupts ----------------------------------------------------------------------

    def hear(self) -> None:
        """Read what the server of the bell has sent."""
        while True:
            rights: list[int] = []
            try:
                data, ancillary, _, _ = self.bell.recvmsg(8, 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not data:
                return
            for _, _, payload in ancillary:
                numbers = array.array("i")
                numbers.frombytes(payload)
                rights += numbers
            (number,) = struct.unpack("<q", data)
            self.ids.append(number)
            if rights and number >= 0:
                self.peers.setdefault(number, []).extend(rights)
            else:
                for fd in (*rights, *self.peers.pop(number, ())):
                    os.close(fd)

    def ring(self, value: int) -> None:
        """What a message to the doorbell does."""
        self.hear()
        fds = self.peers.get(value >> 16, [])
        if value & 0xFF < len(fds):
            os.eventfd_write(fds[value & 0xFF], 1)

    def send_msix(self, vector: int) -> bool:
        """Play the device: send a message unless it is masked or off."""
        with self.lock:
            entry = struct.unpack_from("<QII", self.memory, 0x1000 + 16 * vector)
            is_on = self.device.read(0x72, 2) & 0xC000 == 0x8000
            if not is_on or entry[2] & 1:
                return False
            assert entry[0] == BELL
            self.ring(entry[1])
            return True

    def send_msi(self, vector: int) -> bool:
        """Play the device: send a message if MSI is on and it was given so many."""
        with self.lock:
            control = self.device.read(0x52, 2)
            if not control & 1 or vector >= 1 << (control >> 4 & 7):
                return False
            assert self.device.read(0x54, 8) == BELL
            self.ring(self.device.read(0x5C, 2) | vector)
            return True

    def set_pin(self, is_asserted: bool, line: int = 20) -> None:
        """Play the device: its pin, wired to an input of the I/O APIC."""
        with self.lock:
            status = self.device.read(6, 2)
            self.device.put("<H", 6, status | 8 if is_asserted else status & ~8)
            if self.is_intercepted:
                word = "raise" if is_asserted else "lower"
                self.socket.sendall(f"IRQ {word} {line}\n".encode())


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, (pattern, text)
    return int(found[1])
