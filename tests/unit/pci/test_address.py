from __future__ import annotations

import pytest

from pymmio.errors import UriError
from pymmio.pci import PciAddress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0000:01:00.0", PciAddress(0, 1, 0, 0)),
        ("01:00.0", PciAddress(0, 1, 0, 0)),
        ("0001:fF:1f.7", PciAddress(1, 255, 31, 7)),
        ("10000:e1:00.0", PciAddress(0x10000, 0xE1, 0, 0)),  # Intel VMD
        ("ffffffff:00:00.0", PciAddress(0xFFFF_FFFF, 0, 0, 0)),
        ("0:1:2.3", PciAddress(0, 1, 2, 3)),
    ],
)
def test_parse_understands(text, expected):
    assert PciAddress.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0000:01:00",
        "0000:01:00.8",
        "0000:01:20.0",
        "0000:100:00.0",
        "100000000:01:00.0",
        "0000:01:00.0 ",
        "0000:01:00.0\n",
        "../0000:01:00.0",
        "0000-01-00.0",
        "0000:01:00.0/../..",
        "0000:0g:00.0",
        "\u0660000:01:00.0",
    ],
)
def test_parse_refuses_with_the_expected_form(text):
    with pytest.raises(UriError, match=r"0000:01:00\.0") as caught:
        PciAddress.parse(text)
    assert isinstance(caught.value, ValueError)


def test_str_is_the_name_in_sysfs():
    assert str(PciAddress.parse("01:00.0")) == "0000:01:00.0"
    assert str(PciAddress(0x10000, 0xE1, 0x1F, 7)) == "10000:e1:1f.7"


def test_order_is_by_number_not_by_text():
    addresses = ["10000:00:00.0", "0000:0a:00.0", "0000:09:00.1", "0000:09:00.0", "0002:00:00.0"]
    assert [str(a) for a in sorted(map(PciAddress.parse, addresses))] == [
        "0000:09:00.0",
        "0000:09:00.1",
        "0000:0a:00.0",
        "0002:00:00.0",
        "10000:00:00.0",
    ]


@pytest.mark.parametrize("parts", [(-1, 0, 0, 0), (0, 256, 0, 0), (0, 0, 32, 0), (0, 0, 0, 8)])
def test_constructor_refuses_parts_that_do_not_fit(parts):
    with pytest.raises(UriError, match="does not fit"):
        PciAddress(*parts)
