"""Registers pinned to literals from NVMe Base 2.0 §3.1.3."""

from __future__ import annotations

import pytest

from pymmio_drivers.nvme import registers as r

OFFSETS = {
    "cap": (0x00, 64), "vs": (0x08, 32), "intms": (0x0C, 32), "intmc": (0x10, 32),
    "cc": (0x14, 32), "csts": (0x1C, 32), "aqa": (0x24, 32), "asq": (0x28, 64),
    "acq": (0x30, 64), "crto": (0x68, 32),
}  # fmt: skip


def test_offsets_and_widths():
    places = r.Registers.places
    assert {n: (p.offset, p.spec.width) for n, p in places.items()} == OFFSETS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mqes", 0x0000_0000_0000_FFFF), ("cqr", 1 << 16), ("ams", 3 << 17), ("to", 0xFF << 24),
        ("dstrd", 0xF << 32), ("nssrs", 1 << 36), ("css", 0xFF << 37), ("bps", 1 << 45),
        ("cps", 3 << 46), ("mpsmin", 0xF << 48), ("mpsmax", 0xF << 52), ("pmrs", 1 << 56),
        ("cmbs", 1 << 57), ("nsss", 1 << 58), ("crwms", 1 << 59), ("crims", 1 << 60),
    ],
)  # fmt: skip
def test_cap_fields(name, value):
    assert r.CAP.spec.fields[name].mask == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("en", 0x1), ("css", 0x70), ("mps", 0x780), ("ams", 0x3800), ("shn", 0xC000),
        ("iosqes", 0xF_0000), ("iocqes", 0xF0_0000), ("crime", 0x100_0000),
    ],
)  # fmt: skip
def test_cc_fields(name, value):
    assert r.CC.spec.fields[name].mask == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("rdy", 1), ("cfs", 2), ("shst", 0xC), ("nssro", 0x10), ("pp", 0x20), ("st", 0x40)],
)
def test_csts_fields(name, value):
    assert r.CSTS.spec.fields[name].mask == value


def test_the_other_fields():
    assert r.AQA.spec.fields["asqs"].mask == 0x0000_0FFF
    assert r.AQA.spec.fields["acqs"].mask == 0x0FFF_0000
    assert r.CRTO.spec.fields["crwmt"].mask == 0x0000_FFFF
    assert r.CRTO.spec.fields["crimt"].mask == 0xFFFF_0000
    assert r.VS(0x0002_0001).mjr == 2
    assert r.VS(0x0001_0400).mnr == 4
    assert [int(v) for v in r.ShutdownStatus] == [0, 1, 2]
    assert [int(v) for v in r.Shutdown] == [0, 1, 2]
    assert [int(v) for v in r.CommandSet] == [0, 6, 7]


def test_doorbells_by_queue_and_stride():
    assert r.sq_doorbell_offset(0, 0) == 0x1000
    assert r.cq_doorbell_offset(0, 0) == 0x1004
    assert r.sq_doorbell_offset(3, 0) == 0x1018
    assert r.cq_doorbell_offset(3, 0) == 0x101C
    assert r.sq_doorbell_offset(3, 2) == 0x1060
    assert r.cq_doorbell_offset(3, 2) == 0x1070
