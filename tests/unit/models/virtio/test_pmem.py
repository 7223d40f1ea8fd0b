"""What a power cut does to the model of persistent memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.models.virtio.pmem import CACHE_LINE, VirtioPmemModel
from pymmio.models.virtio.ring import Chain
from pymmio.testing import open_model
from tests.unit.models.fake_host import FakeHost

SIZE = 1 << 16


class Host(FakeHost):
    def __init__(self) -> None:
        super().__init__()
        self.bar = memoryview(bytearray(SIZE))

    def bar_memory(self, index: int) -> memoryview:
        assert index == 2
        return self.bar


def _model(**options: object) -> tuple[VirtioPmemModel, Host]:
    model, host = VirtioPmemModel(size=SIZE, **options), Host()  # type: ignore[arg-type]
    model.attach(host)
    return model, host


def test_what_was_not_flushed_is_lost() -> None:
    model, host = _model()
    host.bar[100:104] = b"gone"
    assert model.unflushed() == [64]
    model.cut_power()
    assert bytes(host.bar) == bytes(SIZE)
    assert model.unflushed() == []


def test_what_was_flushed_is_kept_whatever_comes_later() -> None:
    model, host = _model()
    host.bar[100:104] = b"kept"
    model.flush()
    host.bar[100:104] = b"gone"
    model.cut_power()
    assert bytes(host.bar[100:104]) == b"kept"


def test_any_cache_lines_may_be_kept() -> None:
    model, host = _model()
    host.bar[:] = b"\x77" * SIZE
    assert len(model.unflushed()) == SIZE // CACHE_LINE
    model.cut_power(keep=[0, 4096 + 64])
    kept = [at for at in range(SIZE) if host.bar[at]]
    assert kept == [*range(64), *range(4160, 4224)]


def test_the_file_has_what_was_flushed_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    model, host = _model(file=path)
    host.bar[:4] = b"once"
    model.flush()
    host.bar[:4] = b"late"
    assert path.read_bytes()[:4] == b"once"
    model.close()
    model.close()
    again, host = _model(file=path)
    assert bytes(host.bar[:4]) == b"once"
    again.close()


def _request(host: Host, request: bytes, room: int = 4) -> Chain:
    memory = host.map(0x1000, 64)
    memory[: len(request)] = request
    return Chain(0, 1, ((0x1000, len(request)),), ((0x1020, room),) if room else ())


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [  # §5.19.6: le32 type, 0 is a flush; le32 ret
        (b"\0\0\0\0", 0),
        (b"\0\0\0\0more", 0),
        (b"\1\0\0\0", 1),
        (b"\0\0\0\1", 1),
        (b"\0\0\0", 1),
    ],
)
def test_requests_are_answered(request_bytes: bytes, answer: int) -> None:
    model, host = _model()
    assert model.serve(0, _request(host, request_bytes)) == 4
    assert host.ranges[0x1000][0x20:0x24] == answer.to_bytes(4, "little")
    assert model.flushes == (answer == 0)


@pytest.mark.parametrize("room", [0, 1, 3])
def test_an_answer_that_has_no_room_is_cut(room: int) -> None:
    model, host = _model()
    assert model.serve(0, _request(host, bytes(4), room)) == room


def test_the_bar_is_a_power_of_two_that_holds_the_memory() -> None:
    with open_model(VirtioPmemModel(size=3 * 4096)) as device:
        assert device.region(2).size == 4 * 4096
