"""Drivers are found as somebody else's would be."""

from __future__ import annotations

import doctest
from importlib.metadata import entry_points

import pytest

import pymmio_drivers.nvme
from pymmio.pci import PciIds, PciMatch

DRIVERS = {entry.name: entry for entry in entry_points(group="pymmio.drivers")}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("edu", PciIds(0x1234, 0x11E8, 0x00FF00)),
        ("nvme", PciIds(0x1B36, 0x0010, 0x010802)),
        ("nvme", PciIds(0x144D, 0xA808, 0x010802)),
    ],
)
def test_driver_declares_what_it_takes(name, ids):
    module = DRIVERS[name].load()
    assert all(isinstance(match, PciMatch) for match in module.MATCH)
    takers = [n for n, e in DRIVERS.items() if any(m.matches(ids) for m in e.load().MATCH)]
    assert takers == [name]


def test_example_of_the_nvme_package_works():
    assert doctest.testmod(pymmio_drivers.nvme) == (0, 2)
