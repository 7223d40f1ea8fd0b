"""Every case of tests/drivers/nvme_status_cases.py against the model, in every variant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drivers.nvme_status_cases import BUFFER_SIZE, CASES, Case

from .nvme_driver import Driver

UNMAPPED = 0xDEAD_0000_0000
DOCUMENT = Path(__file__).parents[3] / "docs" / "nvme-model-vs-qemu.rst"


def run(driver: Driver, case: Case, block_size: int) -> None:
    if case.before is not None:
        run(driver, case.before, block_size)
    buffer = driver.alloc(BUFFER_SIZE)
    driver.poke(buffer, case.memory(buffer=buffer, unmapped=UNMAPPED))
    pair = driver.admin if case.queue == "admin" else driver.io[1]
    pair.put(case.entry(cid=0x5A5A, buffer=buffer, unmapped=UNMAPPED, block_size=block_size))
    pair.ring()
    (completion,) = pair.poll()
    assert completion.cid == 0x5A5A
    assert hex(completion.status) == hex(case.expected)
    if case.dw0 is not None:
        assert completion.dw0 == case.dw0


@pytest.mark.parametrize("version", ["1.4", "2.0"])
@pytest.mark.parametrize("block_size", [512, 4096])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_status(case: Case, block_size: int, version: str) -> None:
    driver = Driver(block_size=str(block_size), version=version)
    run(driver, case, block_size)
    assert driver.csts == 1


def test_a_case_leaves_the_controller_as_it_was() -> None:
    driver = Driver()
    for case in CASES:
        run(driver, case, 512)
    assert driver.csts == 1
    assert driver.read(0, 512) == bytes(512)


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_difference_to_qemu_is_documented() -> None:
    document = DOCUMENT.read_text()
    missing = [case.name for case in CASES if case.qemu != "same" and case.name not in document]
    assert missing == []
