"""Public names are described somewhere: what ``make docs`` indexed is compared with ``__all__``."""

from __future__ import annotations

import importlib

import pytest
from sphinx.util.inventory import InventoryFile

from tests.docs.pages import DOCS

INDEX = DOCS / "_build/html/objects.inv"
# For other parts of pymmio, and what every driver has to declare.
NOT_FOR_USERS = {
    "pymmio.arch": {"WAYS", "BufferBase", "ffi", "lib", "make_region_type", "region_types"},
    "pymmio.mmio": {"RecordedRegion"},
    "pymmio.check.rules": {"NAMES"},
    "pymmio_drivers.nvme": {"MATCH", "REGISTERS", "REGISTER_BAR"},
    "pymmio_drivers.edu": {"MATCH", "REGISTERS", "REGISTER_BAR"},
}
MODULES = (
    *("pymmio", "pymmio.arch", "pymmio.errors", "pymmio.mmio", "pymmio.regs", "pymmio.pci"),
    *("pymmio.dma", "pymmio.check.accessors", "pymmio.check.rules"),
    *("pymmio_drivers.nvme", "pymmio_drivers.edu"),
)


@pytest.fixture(scope="module")
def described() -> set[str]:
    """Return the last part of every Python name that a page describes."""
    assert INDEX.exists(), "make docs builds the pages that this test looks at"
    with INDEX.open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    return {
        name.rpartition(".")[2]
        for kind, names in inventory.items()
        if kind.startswith("py:")
        for name in names
    }


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_page(module: str, described: set[str]) -> None:
    names = set(importlib.import_module(module).__all__)
    assert sorted(names - NOT_FOR_USERS.get(module, set()) - described) == []


@pytest.mark.parametrize("module", NOT_FOR_USERS)
def test_what_is_not_for_users_is_there(module: str) -> None:
    assert NOT_FOR_USERS[module] <= set(importlib.import_module(module).__all__)


def test_members_of_a_region_have_a_page(described: set[str]) -> None:
    region = importlib.import_module("pymmio").Region
    assert [n for n in dir(region) if not n.startswith("_") and n not in described] == []
