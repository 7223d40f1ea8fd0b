"""Format NVM: choices, what is sent, what is refused, how far it is."""

from __future__ import annotations

import struct

import pytest

from pymmio.errors import BadArgument, Unsupported
from pymmio_drivers.nvme import (
    Controller,
    Erase,
    FormatScope,
    IdentifyController,
    IdentifyNamespace,
    InvalidField,
    format_choices,
    format_namespace,
    format_scope,
)
from pymmio_drivers.nvme.command import format_nvm


@pytest.fixture
def sim():
    with Controller.open("sim:nvme?size=1M&ns=2") as ctrl:
        yield ctrl


def model_of(ctrl):
    return ctrl.device.handle.model


def test_command_bytes():
    entry = format_nvm(3, lba_format=0x25, erase=1)
    assert entry[0] == 0x80
    nsid, cdw10 = struct.unpack_from("<I", entry, 4)[0], struct.unpack_from("<I", entry, 40)[0]
    assert (nsid, cdw10) == (3, 0b10 << 12 | 1 << 9 | 0x5)


def test_choices_are_the_formats_for_data():
    data = bytearray(4096)
    data[25], data[26] = 2, 1  # NLBAF, FLBAS
    data[128:140] = bytes([0, 0, 9, 2]) + bytes([8, 0, 12, 1]) + bytes([0, 0, 0, 0])
    found = format_choices(IdentifyNamespace.parse(bytes(data)))
    assert [tuple(one.as_dict().values()) for one in found] == [
        (0, 512, 0, 2, False),
        (1, 4096, 8, 1, True),
    ]


@pytest.mark.parametrize(
    ("fna", "erase", "scope"),
    [
        (0, Erase.USER_DATA, FormatScope.NAMESPACE),
        (1, Erase.NONE, FormatScope.CONTROLLER),
        (2, Erase.NONE, FormatScope.NAMESPACE),
        (2, Erase.USER_DATA, FormatScope.CONTROLLER),
    ],
)
def test_the_controller_tells_what_a_format_reaches(fna, erase, scope):
    class Fake:
        identity = IdentifyController.parse(bytes(524) + bytes([fna]) + bytes(3571))

    assert format_scope(Fake(), erase) is scope


def test_another_format_changes_the_blocks_and_the_data_is_gone(sim):
    sim.namespaces[1].write_bytes(b"x" * 512, lba=0)
    format_namespace(sim, 1, lba_format=1)
    ns = sim.namespaces[1]
    assert (ns.block_size, ns.block_count) == (4096, 256)
    assert ns.read_bytes(lba=0, blocks=1) == bytes(4096)


def test_the_same_format_and_the_other_namespace_stay(sim):
    sim.namespaces[2].write_bytes(b"y" * 512, lba=0)
    format_namespace(sim, 1)
    assert sim.namespaces[1].block_size == 512
    assert sim.namespaces[2].read_bytes(lba=0, blocks=1) == b"y" * 512


def test_a_format_that_is_not_offered_is_refused_with_those_that_are(sim):
    with pytest.raises(BadArgument, match=r"no LBA format 7.*0 \(512 bytes\), 1 \(4096 bytes\)"):
        format_namespace(sim, 1, lba_format=7)


def test_cryptographic_erase_needs_fna(sim):
    with pytest.raises(Unsupported, match="cryptographic"):
        format_namespace(sim, 1, erase=Erase.CRYPTOGRAPHIC)


def test_an_erase_that_does_not_exist_is_refused(sim):
    with pytest.raises(BadArgument, match="erase=9"):
        format_namespace(sim, 1, erase=9)


def test_a_namespace_that_is_not_there_is_refused(sim):
    with pytest.raises((InvalidField, BadArgument)):
        format_namespace(sim, 3)


def test_progress_ends_at_one_where_the_controller_does_not_tell(sim):
    shares = []
    format_namespace(sim, 1, progress=shares.append)
    assert shares == [1.0]


def test_progress_follows_fpi(sim, monkeypatch):
    """The model answers Identify with FPI while the format is held back."""
    model, shares = model_of(sim), []
    left = iter([0x80 | 0, 0x80 | 75, 0x80 | 25])
    whole = type(model.identity).namespace

    def with_fpi(self, namespace):
        data = bytearray(whole(self, namespace))
        data[32] = next(left, 0x80)
        return bytes(data)

    monkeypatch.setattr(type(model.identity), "namespace", with_fpi)
    model.hooks.hold(lambda qid, one: one.opcode == 0x80)

    def progress(share):
        shares.append(share)
        if share == 0.75:
            model.hooks.release()

    format_namespace(sim, 1, progress=progress)
    assert shares == [0.25, 0.75, 1.0]
