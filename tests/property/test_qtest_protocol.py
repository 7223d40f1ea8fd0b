"""Whatever QEMU says: a value that fits or an exception, in time, and nothing left behind."""

from __future__ import annotations

import os
import random
import socket

from hypothesis import given
from hypothesis import strategies as st

from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.errors import PymmioError

TIMEOUT_S = 0.01

values = st.integers(0, (1 << 72) - 1).map(lambda value: b"OK 0x%x" % value)
lines = st.one_of(
    st.just(b"OK"),
    values,
    st.integers(0, 1 << 20).map(lambda line: b"IRQ raise %d" % line),
    st.integers(0, 30).map(lambda line: b"IRQ lower %d" % line),
    st.sampled_from([b"", b"FAIL", b"FAIL Unknown command 'x'", b"ERR", b"OK 0x", b"OK 1", b"IRQ"]),
    st.binary(max_size=400),
)
operations = st.lists(st.sampled_from(["read", "write", "many", "settle", "lines"]), max_size=8)


def run(said: bytes, asked: list[str], *, is_ended: bool) -> None:
    """Hold a conversation in which the other end has said everything before."""
    ours, peer = socket.socketpair()
    seen: list[tuple[int, bool]] = []
    channel = QtestChannel(
        ours, timeout_s=TIMEOUT_S, on_line=lambda line, level: seen.append((line, level))
    )
    try:
        peer.sendall(said)
        if is_ended:
            peer.shutdown(socket.SHUT_WR)
        for operation in asked:
            try:
                use(channel, operation)
            except PymmioError:
                continue
        assert all(0 <= line <= 99999 for line, _ in seen)
    finally:
        channel.close()
        peer.close()


def use(channel: QtestChannel, operation: str) -> None:
    if operation == "read":
        assert 0 <= channel.read(0, 4) < 1 << 32
    elif operation == "write":
        channel.write(0, 4, 1)
    elif operation == "many":
        assert all(0 <= value < 1 << 16 for value in channel.read_many(range(5), 2))
    elif operation == "settle":
        channel.settle()
    else:
        channel.take_lines()


@given(said=st.lists(lines, max_size=30), asked=operations, is_ended=st.booleans())
def test_hostile_answers(said: list[bytes], asked: list[str], is_ended: bool) -> None:
    run(b"\n".join(said), asked, is_ended=is_ended)


def test_50_000_hostile_lines_leave_nothing() -> None:
    chosen = random.Random(7)
    vocabulary = [
        b"OK",
        b"OK 0x1",
        b"OK 0xffff",
        b"OK 0x1ffffffff",
        b"IRQ raise 3",
        b"FAIL",
        b"\xff",
    ]
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        weights = [chosen.choice((1, 40)) for _ in vocabulary]
        said = b"\n".join(chosen.choices(vocabulary, weights, k=50)) + b"\n"
        asked = chosen.choices(["read", "write", "many", "settle", "lines"], k=6)
        run(said, asked, is_ended=True)
    assert set(os.listdir("/proc/self/fd")) == before
