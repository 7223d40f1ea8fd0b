from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from pymmio.backend.qtest.protocol import MAX_IN_FLIGHT, QtestChannel
from pymmio.errors import Closed, DeviceGone, DeviceTimeout, ForkedObject, ProtocolError
from tests.children import in_forked_child

TIMEOUT_S = 5.0


class Rig:
    """A channel, and the other end of its socket."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(TIMEOUT_S)
        self.lines: list[tuple[int, bool]] = []
        self.channel = QtestChannel(
            ours, timeout_s=timeout_s, on_line=lambda line, level: self.lines.append((line, level))
        )

    def says(self, text: str | bytes) -> None:
        self.peer.sendall(text if isinstance(text, bytes) else text.encode())

    def heard(self) -> str:
        return self.peer.recv(1 << 20).decode()

    def close(self) -> None:
        self.peer.close()
        self.channel.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


@pytest.fixture
def hasty() -> Iterator[Rig]:
    rig = Rig(timeout_s=0.05)
    yield rig
    rig.close()


@pytest.mark.parametrize(
    ("width", "command"), [(1, "readb"), (2, "readw"), (4, "readl"), (8, "readq")]
)
def test_a_read_is_one_command(rig: Rig, width: int, command: str) -> None:
    rig.says("OK 0x00000000000000fe\n")
    assert rig.channel.read(0x1000, width) == 0xFE
    assert rig.heard() == f"{command} 0x1000\n"


def test_bytes_are_in_the_order_of_memory(rig: Rig) -> None:
    rig.says("OK 0x010203\n")
    assert rig.channel.read_bytes(0x1001, 3) == b"\1\2\3"
    rig.channel.write_bytes(0x1001, b"\4\5\6\7\x08")
    assert rig.heard() == "read 0x1001 0x3\nwrite 0x1001 0x5 0x0405060708\n"


def test_a_write_does_not_wait(rig: Rig) -> None:
    rig.channel.write(0x10, 4, 0xABCD)
    rig.channel.write_port(0x20, 2, 1)
    assert rig.heard() == "writel 0x10 0xabcd\noutw 0x20 0x1\n"
    assert rig.channel.in_flight == 2


def test_a_read_comes_after_the_writes_before_it(rig: Rig) -> None:
    rig.channel.write(0, 1, 1)
    rig.channel.write(0, 1, 2)
    rig.says("OK\nOK\nOK 0x7\n")
    assert rig.channel.read_port(9, 1) == 7
    assert rig.channel.in_flight == 0
    assert rig.heard() == "writeb 0x0 0x1\nwriteb 0x0 0x2\ninb 0x9\n"


def test_answers_may_come_in_pieces(rig: Rig) -> None:
    def dribble() -> None:
        for byte in b"OK 0x123\n":
            rig.says(bytes([byte]))

    thread = threading.Thread(target=dribble)
    thread.start()
    assert rig.channel.read(0, 2) == 0x123
    thread.join()


def test_what_is_in_flight_is_bounded(rig: Rig) -> None:
    count = 1000
    most = 0

    def answer() -> None:
        nonlocal most
        done, received = 0, b""
        while done < count:
            received += rig.peer.recv(1 << 16)
            lines = received.count(b"\n")
            most = max(most, lines)
            received = received.split(b"\n")[-1]
            done += lines
            rig.says("OK\n" * lines)

    thread = threading.Thread(target=answer)
    thread.start()
    for value in range(count):
        rig.channel.write(0, 4, value)
        assert rig.channel.in_flight <= MAX_IN_FLIGHT
    rig.channel.settle()
    thread.join()
    assert most <= MAX_IN_FLIGHT


def test_a_peer_that_takes_and_answers_nothing_is_a_time_out(hasty: Rig) -> None:
    with pytest.raises(DeviceTimeout, match="has not answered 'writes'"):
        for value in range(MAX_IN_FLIGHT + 1):
            hasty.channel.write(0, 4, value)
    with pytest.raises(DeviceTimeout):
        hasty.channel.read(4, 4)


def test_an_answer_after_its_time_out_is_not_taken_for_the_next(hasty: Rig) -> None:
    with pytest.raises(DeviceTimeout):
        hasty.channel.read(4, 4)
    hasty.says("OK 0x1\nOK 0x2\n")
    assert hasty.channel.read(8, 4) == 2


def test_lines_come_at_any_time(rig: Rig) -> None:
    rig.says("IRQ raise 20\nOK 0x1\nIRQ lower 20\n")
    assert rig.channel.read(0, 4) == 1
    assert rig.lines == [(20, True), (20, False)]
    rig.says("IRQ raise 3\n")
    rig.channel.take_lines()
    rig.channel.take_lines()
    assert rig.lines[2:] == [(3, True)]


@pytest.mark.parametrize(
    "said",
    [
        b"OK\n",
        b"OK 1\n",
        b"OK 0x\n",
        b"OK 0x100000000\n",
        b"OK 0x12345678123456781\n",
        b"OK 0x1 \n",
        b"OK 0x1\r\n",
        b"FAIL Unknown command\n",
        b"ERR\n",
        b"\n",
        b"\xff\xfe\n",
        b"IRQ raise x\n",
        b"IRQ raise 999999\n",
        b"x" * 1000,
    ],
)
def test_wrong_answers_are_protocol_errors_for_good(rig: Rig, said: bytes) -> None:
    rig.says(said)
    with pytest.raises(ProtocolError):
        rig.channel.read(0, 4)
    rig.says("OK 0x1\n")
    with pytest.raises(ProtocolError):
        rig.channel.read(0, 4)
    with pytest.raises(ProtocolError):
        rig.channel.write(0, 4, 0)


def test_a_value_for_a_write_and_words_without_a_question_are_protocol_errors() -> None:
    for said in ("OK 0x1\n", "OK\nOK\n"):
        rig = Rig()
        rig.channel.write(0, 4, 0)
        rig.says(said)
        with pytest.raises(ProtocolError):
            rig.channel.settle()
            rig.channel.take_lines()
        rig.close()


def test_the_end_is_told_in_the_words_of_the_caller() -> None:
    ours, peer = socket.socketpair()
    channel = QtestChannel(ours, timeout_s=1, lost=lambda seen: DeviceGone(f"alas: {seen}"))
    peer.close()
    for call in (lambda: channel.read(0, 4), lambda: channel.write(0, 4, 0), channel.settle):
        with pytest.raises(DeviceGone, match="alas"):
            call()
    channel.close()
    with pytest.raises(Closed):
        channel.read(0, 4)


def test_an_end_that_is_wanted_is_closed(rig: Rig) -> None:
    rig.channel.expect_end()
    rig.peer.close()
    with pytest.raises(Closed):
        rig.channel.read(0, 4)


def test_threads_get_their_own_answers(rig: Rig) -> None:
    def answer() -> None:
        received = b""
        while data := rig.peer.recv(4096):
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                rig.says(b"OK " + line.split()[1] + b"\n")

    server = threading.Thread(target=answer)
    server.start()
    wrong: list[int] = []

    def ask(start: int) -> None:
        for address in range(start, start + 300):
            if rig.channel.read(address, 4) != address:
                wrong.append(address)

    threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    rig.channel.close()
    server.join(10)


def test_many_reads_are_under_way_at_once(rig: Rig) -> None:
    def answer() -> None:
        received = b""
        done = 0
        while done < 100:
            *lines, received = (received + rig.peer.recv(1 << 16)).split(b"\n")
            done += len(lines)
            rig.says(b"".join(b"OK " + line.split()[1] + b"\n" for line in lines))

    server = threading.Thread(target=answer)
    server.start()
    assert rig.channel.read_many(range(100), 4) == list(range(100))
    server.join(10)


def test_a_signal_in_the_middle_of_a_command_ends_the_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def sendall(self, data: bytes) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rig.channel, "_socket", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            rig.channel.write(0, 4, 0)
    with pytest.raises(DeviceGone, match="interrupted"):
        rig.channel.write(0, 4, 0)


def test_a_forked_child_is_refused_and_the_parent_goes_on(rig: Rig) -> None:
    def child() -> None:
        with pytest.raises(ForkedObject):
            rig.channel.read(0, 4)

    in_forked_child(child)
    rig.says("OK 0x1\n")
    assert rig.channel.read(0, 4) == 1
    assert os.fstat(rig.channel.fileno())
