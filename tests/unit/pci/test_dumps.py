"""What the decoder says of configuration spaces that were read from QEMU's devices."""

from __future__ import annotations

import pytest

from pymmio.pci import Command, ConfigSpace, HeaderLayout, MsiX, PcieType, PciExpress, PciIds

from . import dumps
from .spaces import literal


def space(dump, size=4096):
    return ConfigSpace(literal(dump, size))


def test_nvme():
    config = space(dumps.NVME)
    assert config.ids == PciIds(0x1B36, 0x0010, 0x010802, 2, 0x1AF4, 0x1100)
    assert config.command == Command.IO | Command.MEMORY | Command.BUS_MASTER
    assert [str(bar) for bar in config.bars()] == [
        "BAR0: memory at 0x80000000 (64-bit, non-prefetchable)"
    ]
    assert [str(capability) for capability in config.capabilities()] == [
        "[40] MSI-X: enabled=no masked=no vectors=65"
        " table=bar:0,offset:0x2000,size:1040 pending=bar:0,offset:0x3000,size:16",
        "[80] PCI Express: version=2 type=INTEGRATED_ENDPOINT flr=yes max_payload_supported=128"
        " max_payload=128 max_read_request=128 link_capability=none link_status=none"
        " link_degraded=none aspm_supported=none aspm=none slot=none",
        "[60] power management: version=3 state=D0 supported_states=D0,D3HOT no_soft_reset=yes"
        " pme_enabled=no pme_status=no",
    ]
    assert config.extended_capabilities() == ()


def test_e1000e():
    config = space(dumps.E1000E)
    assert config.ids == PciIds(0x8086, 0x10D3, 0x020000, 0, 0x8086, 0)
    assert [str(bar) for bar in config.bars()] == [
        "BAR0: memory at 0x80000000 (32-bit, non-prefetchable)",
        "BAR1: memory at 0x80020000 (32-bit, non-prefetchable)",
        "BAR2: I/O ports at 0xc000",
        "BAR3: memory at 0x80040000 (32-bit, non-prefetchable)",
    ]
    assert [cap.name for cap in config.capabilities()] == [
        "power management",
        "MSI",
        "PCI Express",
        "MSI-X",
    ]
    msix = config.capability(MsiX)
    assert msix is not None
    assert (msix.vectors, msix.table.bar, msix.pending.offset) == (5, 3, 0x2000)
    assert list(map(str, config.extended_capabilities())) == [
        "[100 v2] AER: uncorrectable_status=none uncorrectable_mask=none"
        " uncorrectable_severity=data_link_protocol,surprise_down,flow_control_protocol,"
        "receiver_overflow,malformed_tlp,uncorrectable_internal correctable_status=none"
        " correctable_mask=advisory_non_fatal,corrected_internal,header_log_overflow"
        " first_error=none header_log=0x0,0x0,0x0,0x0",
        "[140 v1] device serial number: serial_number=52-54-00-ff-ff-12-34-56",
    ]


def test_edu():
    config = space(dumps.EDU, 256)
    assert config.ids == PciIds(0x1234, 0x11E8, 0x00FF00, 0x10, 0x1AF4, 0x1100)
    assert [str(capability) for capability in config.capabilities()] == [
        "[40] MSI: enabled=no vectors=1 enabled_vectors=1 is_64bit=yes per_vector_masking=no"
        " address=0x0 data=0x0"
    ]


def test_root_port():
    config = space(dumps.ROOT_PORT)
    assert config.header_layout is HeaderLayout.BRIDGE
    express = config.capability(PciExpress)
    assert express is not None
    assert express.type is PcieType.ROOT_PORT
    assert str(express.link_capability) == "16 GT/s x32"
    assert str(express.link_status) == "2.5 GT/s x1"
    assert [cap.name for cap in config.extended_capabilities()] == ["AER", "ACS"]


def test_virtio_rng_behind_a_root_port():
    config = space(dumps.VIRTIO_RNG)
    assert [(cap.offset, cap.name) for cap in config.capabilities()] == [
        (0xDC, "MSI-X"),
        (0xC8, "vendor specific"),
        (0xB4, "vendor specific"),
        (0xA4, "vendor specific"),
        (0x94, "vendor specific"),
        (0x84, "vendor specific"),
        (0x7C, "power management"),
        (0x40, "PCI Express"),
    ]
    assert [(bar.index, bar.is_64bit, bar.is_prefetchable) for bar in config.bars()] == [
        (1, False, False),
        (4, True, True),
    ]


@pytest.mark.parametrize("name", ["NVME", "E1000E", "ROOT_PORT", "VIRTIO_RNG"])
def test_dump_of_each_is_what_was_read(name):
    content = getattr(dumps, name)
    data = space(content).dump()
    for offset, text in content.items():
        assert data[offset : offset + 16] == bytes.fromhex(text)
    assert sum(data) == sum(sum(bytes.fromhex(text)) for text in content.values())
