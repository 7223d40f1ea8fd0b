"""The page of the matrix is that of its numbers, and these are of the checks that there are."""

from __future__ import annotations

import pytest

from pymmio.testing.contract import Ability, checks
from tests.contract.backends import BACKENDS, Backend
from tests.contract.matrix import COLUMNS, NUMBERS, PAGE, load, render

AGAIN = "python -m tests.contract.matrix writes it again"


def test_the_page_is_of_its_numbers() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(load()), AGAIN


def test_every_column_was_asked() -> None:
    assert set(load()) == {column.name for column in COLUMNS}, AGAIN


@pytest.mark.parametrize("name", ["sim", "vfio-user", "qemu", "qemu-pc"])
def test_all_promises_were_asked(name: str) -> None:
    seen, backend = load()[name], BACKENDS[name]
    for group in {check.group for check in checks()}:
        asked = [c for device in backend.devices for c in backend.checks(device)]
        expected = sum(check.group is group for check in asked)
        found = sum(seen.counts.get(group.value, {}).values())
        assert found == expected, f"{group} in {NUMBERS.name}: {AGAIN} ({name})"


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=lambda backend: backend.name)
def test_exceptions_name_what_there_is(backend: Backend) -> None:
    names = {check.name for check in checks()} | set(Ability)
    for device, lacks in backend.devices.items():
        assert set(lacks) <= names, f"{backend.name}, {device}: {set(lacks) - names}"
