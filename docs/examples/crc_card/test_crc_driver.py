"""Tests of the driver: ``pytest``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from crc_driver import BUFFER_SIZE, CrcCard, Registers
from crc_model import CrcModel

from pymmio.errors import BadArgument, DeviceGone, DeviceTimeout, Unsupported
from pymmio.testing import mapped_region, open_model


@pytest.fixture
def card() -> Iterator[CrcCard]:
    with CrcCard.open("sim:crc") as card:
        yield card


def test_the_result_is_the_one_of_the_literature(card: CrcCard) -> None:
    assert card.crc32(b"123456789") == 0xCBF43926


def test_each_call_computes_anew(card: CrcCard) -> None:
    assert card.crc32(b"a") == 0xE8B7BE43
    assert card.crc32(bytes(BUFFER_SIZE)) == 0xA738EA1C
    assert card.crc32(b"a") == 0xE8B7BE43


@pytest.mark.parametrize("size", [0, BUFFER_SIZE + 1])
def test_what_does_not_fit_is_refused(card: CrcCard, size: int) -> None:
    with pytest.raises(BadArgument, match="do not fit"):
        card.crc32(bytes(size))


def test_a_silent_card_is_a_timeout_and_its_memory_can_be_freed() -> None:
    with CrcCard.open("sim:crc?silent=1") as card:
        with pytest.raises(DeviceTimeout):
            card.crc32(b"a", timeout_s=0.01)
        card.buffer.close()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> CrcModel:
    """The card that the driver opens next, for a look from the other side."""
    model = CrcModel()
    monkeypatch.setattr("crc_driver.open_device", lambda uri: open_model(model))
    return model


def test_the_card_is_on_until_it_is_closed(model: CrcModel) -> None:
    with CrcCard.open("sim:crc"):
        assert model.enabled
    assert not model.enabled


def test_a_card_that_never_gets_ready_is_switched_off_and_closed(
    model: CrcModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(model, "bar_read", lambda bar, offset, width: 0xC3C3 * (offset == 0))
    monkeypatch.setattr(model, "close", lambda: closed.append(True))
    monkeypatch.setattr("crc_driver.READY_S", 0.01)
    with pytest.raises(DeviceTimeout, match="status"):
        CrcCard.open("sim:crc")
    assert not model.enabled
    assert closed


def test_another_device_is_refused() -> None:
    with pytest.raises(Unsupported, match="no CRC card"):
        CrcCard.open("sim:edu")


def test_a_card_that_was_pulled_out_is_noticed() -> None:
    region = mapped_region(0x1000)
    region.write32(0x00, 0xFFFF_FFFF)
    with pytest.raises(DeviceGone):
        Registers(region).id.read()
