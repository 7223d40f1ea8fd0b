"""Whose a range is, by literal texts of /proc/iomem."""

from __future__ import annotations

import pytest

from pymmio.backend.sysfs.iomem import Claim, Kind, claims_on, parse_iomem
from pymmio.errors import PermissionRefused, ProtocolError
from tests.unit.backend.sysfs.iomems import GUEST, HIDDEN, HOST, S390X


def claims(text: str, first: int, last: int) -> list[tuple[int, int, str, str]]:
    return [
        (claim.first, claim.last, str(claim.kind), claim.name)
        for claim in claims_on(parse_iomem(text), first, last)
    ]


@pytest.mark.parametrize(
    ("text", "first", "last", "kind", "name"),
    [
        (HOST, 0x2000, 0x2FFF, "System RAM", "System RAM"),
        (HOST, 0x0100_0000, 0x0100_0FFF, "System RAM", "System RAM"),  # kernel code inside it
        (HOST, 0x6_3FFF_F000, 0x6_3FFF_FFFF, "System RAM", "System RAM"),
        (HOST, 0, 0xFFF, "owned", "Reserved"),
        (HOST, 0xEEC0_0000, 0xEEC0_0FFF, "owned", "Reserved"),
        (HOST, 0xFEC0_0000, 0xFEC0_00FF, "owned", "IOAPIC 0"),
        (HOST, 0x40_0000_0000, 0x40_0000_0FFF, "owned", "virtio-pci-modern"),
        (HOST, 0x40_0008_0000, 0x40_0008_0FFF, "BAR", "0000:00:02.0"),
        (HOST, 0x50_0000_0000, 0x50_0000_0FFF, "bus window", "PCI Bus 0000:00"),
        (HOST, 0xC000_1000, 0xC000_1FFF, "bus window", "PCI Bus 0000:00"),
        (HOST, 0x7_0000_0000, 0x7_0000_0FFF, "unlisted", ""),
        (GUEST, 0xFE00_0000, 0xFE00_0FFF, "owned", "nvme"),
        (GUEST, 0xFE00_4000, 0xFE00_4FFF, "bus window", "PCI Bus 0000:01"),
        (GUEST, 0xFE80_0000, 0xFE8F_FFFF, "BAR", "0000:00:03.0"),
        (GUEST, 0xB000_0000, 0xB000_0FFF, "owned", "PCI MMCONFIG 0000 [bus 00-ff]"),
        (GUEST, 0x1_4000_0000, 0x1_4000_0FFF, "owned", "namespace0.0"),
        (GUEST, 0x1_8000_0000, 0x1_87FF_FFFF, "persistent memory", "Persistent Memory (legacy)"),
        (GUEST, 0x2_0000_0000, 0x2_0000_0FFF, "owned", "dax0.0"),
        (S390X, 0x1000, 0x1FFF, "System RAM", "System RAM"),
        (S390X, 0x8000_0000, 0x87FF_FFFF, "persistent memory", "Persistent Memory"),
        (S390X, 0x8001_0000_0000_0000, 0x8001_0000_0000_0FFF, "BAR", "0001:00:00.0"),
    ],
)
def test_a_page_belongs_to(text: str, first: int, last: int, kind: str, name: str) -> None:
    assert claims(text, first, last) == [(first, last, kind, name)]


def test_a_range_over_several_lines_is_told_part_by_part() -> None:
    assert claims(GUEST, 0xFE00_3000, 0xFE80_0FFF) == [
        (0xFE00_3000, 0xFE00_3FFF, "owned", "nvme"),
        (0xFE00_4000, 0xFE3F_FFFF, "bus window", "PCI Bus 0000:01"),
        (0xFE40_0000, 0xFE7F_FFFF, "bus window", "PCI Bus 0000:00"),
        (0xFE80_0000, 0xFE80_0FFF, "BAR", "0000:00:03.0"),
    ]


def test_the_byte_beside_a_line_is_not_in_it() -> None:
    assert claims(GUEST, 0x1_3FFF_FFFF, 0x1_4000_0000) == [
        (0x1_3FFF_FFFF, 0x1_3FFF_FFFF, "unlisted", ""),
        (0x1_4000_0000, 0x1_4000_0000, "owned", "namespace0.0"),
    ]


def test_an_owner_inside_a_bar_knows_the_function() -> None:
    (claim,) = claims_on(parse_iomem(GUEST), 0xFE00_0000, 0xFE00_0003)
    assert claim == Claim(0xFE00_0000, 0xFE00_0003, Kind.OWNED, "nvme", "0000:01:00.0")
    assert str(claim) == "0xfe000000-0xfe000003 (owned nvme)"


@pytest.mark.parametrize("text", [HIDDEN, ""], ids=["zeros", "empty"])
def test_hidden_addresses_are_a_matter_of_rights(text: str) -> None:
    with pytest.raises(PermissionRefused, match="CAP_SYS_ADMIN"):
        parse_iomem(text)


@pytest.mark.parametrize(
    "text",
    [
        "0-f : a\n    0-1 : two levels at once\n",
        " 0-f : half a level\n",
        "0-f a\n",
        "f-0 : backwards\n",
        "x-f : no number\n",
        "\0",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="/proc/iomem: line"):
        parse_iomem(text)
