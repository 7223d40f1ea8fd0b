"""Options of models are checked, and a refusal names the option."""

from __future__ import annotations

import pytest

from pymmio.errors import UriError
from pymmio.models.edu import EduModel
from pymmio.models.nvme import NvmeModel
from pymmio.models.options import as_bool, as_int, as_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("64M", 64 << 20),
        ("64m", 64 << 20),
        ("4KiB", 4096),
        ("4KB", 4096),
        ("1G", 1 << 30),
        ("2T", 2 << 40),
        (8192, 8192),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert as_size("size", text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "0", "1.5G", "12Q", "0x1000", "٣", " "])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UriError, match="size"):
        as_size("size", text)


def test_numbers_and_switches() -> None:
    assert as_int("n", "0x10") == 16
    assert as_bool("b", "on")
    assert not as_bool("b", "off")
    with pytest.raises(UriError, match="n=9"):
        as_int("n", "9", high=8)
    with pytest.raises(UriError, match="maybe"):
        as_bool("b", "maybe")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("block_size", "1024"),
        ("size", "1000"),
        ("size", "lots"),
        ("ns", "0"),
        ("ns", "300"),
        ("mdts", "17"),
        ("mqes", "0"),
        ("msi", "3"),
        ("dstrd", "16"),
        ("version", "1.0"),
        ("serial", ""),
        ("serial", "x" * 21),
        ("nssr", "perhaps"),
    ],
)
def test_nvme_options_out_of_range_are_refused(name: str, value: str) -> None:
    with pytest.raises(UriError, match=name):
        NvmeModel(**{name: value})


@pytest.mark.parametrize("model", [EduModel, NvmeModel])
def test_an_unknown_option_is_refused_with_those_that_exist(model: type) -> None:
    with pytest.raises(UriError, match="no option 'colour'") as refusal:
        model(colour="red")
    assert "It has:" in str(refusal.value)
