"""The tables of the documentation say what the code says."""

from __future__ import annotations

import inspect
import re
import sys
import tomllib

import pytest

import pymmio.arch
from pymmio import errors
from pymmio.mmio import HandleRegion
from tests.docs.pages import DOCS, README, ROOT
from tests.tiers import TIERS

sys.path.insert(0, str(DOCS / "_ext"))

import pymmio_docs
import specifications


def test_all_architectures_are_in_the_tables():
    folders = {p.parent.name for p in (ROOT / "pymmio/arch").glob("*/io.h")}
    assert {arch.name for arch in pymmio_docs.architectures()} == folders
    assert pymmio.arch.current().name in folders


def test_barriers_of_the_table_are_those_of_each_header():
    for arch in pymmio_docs.architectures():
        header = (ROOT / "pymmio/arch" / arch.name / "io.h").read_text()
        for barrier in arch.barriers:
            body = re.search(rf"void pm_{barrier.name}\(void\)\s*{{(.*?)}}", header, re.DOTALL)
            assert body is not None, (arch.name, barrier.name)
            instruction = re.search(r'volatile\("(.*?)"', body[1])
            assert instruction is not None
            first = barrier.instruction.partition(";")[0].replace("(compiler)", "")
            assert _spelled(instruction[1]) == _spelled(first), (arch.name, barrier.name)


def _spelled(instruction: str) -> str:
    return re.sub(r"[\s,]+", " ", instruction).strip().lower()


def test_every_exception_is_in_the_table():
    assert {kind.__name__ for _, kind in pymmio_docs.exceptions()} == set(errors.__all__)


def test_every_edition_that_the_code_cites_is_listed():
    unknown = [
        (file, found.group())
        for file, text in specifications.source_texts().items()
        for found in specifications.EDITION.finditer(text)
        if not any(re.search(s.citation, found.group()) for s in specifications.SPECIFICATIONS)
    ]
    assert not unknown, "list them in docs/_ext/specifications.py"


@pytest.mark.parametrize("spec", specifications.SPECIFICATIONS, ids=lambda s: s.citation)
def test_every_listed_specification_is_cited(spec):
    assert specifications.citing_files()[spec]
    assert f"pymmio-specifications:: {spec.group}\n" in (DOCS / "specs.rst").read_text()


def test_tiers_of_the_page_are_those_that_run():
    page = (DOCS / "how-it-is-proven.rst").read_text()
    rows = re.findall(r"^   \* - ``([a-z0-9-]+)``$", page, re.M)
    assert rows == [tier.name for tier in TIERS]


@pytest.mark.parametrize("name", ["window", "doorbell", "close"])
def test_signatures_that_are_written_by_hand_are_those_of_the_code(name):
    page = (DOCS / "reference/mmio.rst").read_text()
    signature = (
        str(inspect.signature(getattr(HandleRegion, name)))
        .replace("(self, ", "(")
        .replace("(self)", "()")
    )
    written = f"{name}{signature}".replace("'", "").replace("HandleRegion", "Region")
    assert written in page


@pytest.mark.parametrize("page", [README, DOCS / "_static/layers.svg"], ids=lambda p: p.name)
def test_pictures_show_every_layer(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = project["tool"]["importlinter"]["contracts"][0]
    names = [name for layer in contract["layers"] for name in re.findall(r"[\w.]+", layer)]
    picture = page.read_text()
    missing = [n for n in names if not re.search(rf"\b{n.removeprefix('pymmio.')}\b", picture)]
    assert not missing
