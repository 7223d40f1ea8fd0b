from __future__ import annotations

from pathlib import Path

import pytest


def test_type_checkers_know_registers_fields_and_members(tmp_path):
    api = pytest.importorskip("mypy.api", reason="mypy is not installed (pip install .[dev])")
    cases = Path(__file__).with_name("typing_cases.py")
    config = Path(__file__).parents[3] / "pyproject.toml"
    out, err, code = api.run(
        ["--strict", "--config-file", str(config), "--cache-dir", str(tmp_path), str(cases)]
    )
    assert (out.splitlines()[-1:], err, code) == (
        ["Success: no issues found in 1 source file"],
        "",
        0,
    ), out
