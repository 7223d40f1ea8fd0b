"""The page of all exceptions is complete, has nothing stale, and quotes real messages."""

from __future__ import annotations

import re

import pytest

import pymmio_drivers.nvme.errors as nvme_errors
import pymmio_drivers.virtio_pmem.errors as pmem_errors
from pymmio import errors
from tests.docs.pages import DOCS, EXAMPLES

PAGE = (DOCS / "troubleshooting.rst").read_text(encoding="utf-8")
NAMES = re.findall(r"^(\w+)\n~+$", PAGE, re.M)
ENTRIES = dict(zip(NAMES, re.split(r"^\w+\n~+$", PAGE, flags=re.M)[1:], strict=True))


def _one_line(text):
    return " ".join(text.split())


def _printed():
    """Return what the examples print, and what VFIO said in the guest, without markup."""
    lines = [
        line
        for name in ("failures", "nvme_failures")
        for line in (EXAMPLES / f"{name}.out").read_text().splitlines()
    ]
    vfio = (DOCS / "reference/vfio-messages.rst").read_text()
    return {*lines, *(line[7:].replace("\\", "") for line in vfio.splitlines())}


def _shown(entry):
    blocks = re.findall(r"^\.\. code-block:: text\n\n((?:   .*\n|\n)+)", entry, re.M)
    return [_one_line(block) for block in blocks]


def test_every_exception_is_explained_once_and_no_other():
    assert sorted(NAMES) == sorted({*errors.__all__, *nvme_errors.__all__, *pmem_errors.__all__})


@pytest.mark.parametrize("name", NAMES)
def test_each_has_cause_and_cure(name):
    assert ENTRIES[name].count("*Cause:*") == 1
    assert ENTRIES[name].count("*Cure:*") == 1


def test_messages_shown_were_raised():
    shown = {message for entry in ENTRIES.values() for message in _shown(entry)}
    assert shown - {_one_line(line) for line in _printed()} == set()


@pytest.mark.parametrize("name", ["failures", "nvme_failures"])
def test_all_that_the_examples_raise_is_shown(name):
    for line in (EXAMPLES / f"{name}.out").read_text().splitlines():
        assert line in _shown(ENTRIES[line.partition(":")[0]]), line
