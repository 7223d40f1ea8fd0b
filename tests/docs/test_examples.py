"""Every example of the documentation runs, and prints what the page shows."""

from __future__ import annotations

import doctest
import importlib
import re

import pytest

import pymmio
from tests.docs.pages import DOCS, EXAMPLES, ROOT, code_blocks, pages, run_python

PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.out"))
PARTS = {"edu_registers"}  # imported by other examples
TESTS = sorted(path.stem for path in EXAMPLES.glob("test_*.py"))


def test_each_example_is_run_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PROGRAMS, *PARTS, *TESTS}
    assert PROGRAMS
    assert TESTS


@pytest.mark.parametrize("name", PROGRAMS)
def test_example_prints_what_the_page_shows(name):
    done = run_python(f"{name}.py", cwd=EXAMPLES)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (EXAMPLES / f"{name}.out").read_text()


@pytest.mark.parametrize("name", TESTS)
def test_tests_of_the_tutorial_pass(name):
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--rootdir=.", "-c", "/dev/null"]
    done = run_python("-m", "pytest", *options, f"{name}.py", cwd=EXAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_pages_have_no_python_that_is_not_run(page):
    """Python on a page is a doctest, a testcode or a file of docs/examples, which all run."""
    text = page.read_text(encoding="utf-8")
    assert not re.search(
        r"^\s*\.\. (code-block|code|sourcecode):: *(python|py|py3|pycon)", text, re.M
    )
    assert not code_blocks(text, "(?:python|pycon|py)")
    for name in re.findall(r"\.\. literalinclude:: +(\S+)", text):
        assert (page.parent / name).is_file(), name


def test_examples_inside_the_pages_run(tmp_path):
    done = run_python(
        "-W", "default",  # of Sphinx and its extensions
        "-m", "sphinx", "-b", "doctest", "-d", tmp_path / "doctrees", DOCS, tmp_path / "out",
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.search(r"Doctest summary\n=+\n +(\d+) tests", done.stdout)
    assert summary is not None, done.stdout
    assert int(summary[1]) >= 60


@pytest.mark.parametrize("name", ["pymmio", "pymmio.uri", "pymmio.trace", "pymmio.policy"])
def test_examples_in_docstrings_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_package_opens_with_an_example():
    assert doctest.testmod(pymmio).attempted >= 2
