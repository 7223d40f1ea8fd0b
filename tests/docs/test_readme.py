"""What the README shows works."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import README, ROOT, code_blocks, run_python

TEXT = README.read_text(encoding="utf-8")


def test_the_driver_runs_and_is_short(tmp_path):
    (program,) = code_blocks(TEXT, "python")
    assert len([line for line in program.splitlines() if line.strip()]) <= 15
    (tmp_path / "driver.py").write_text(program)
    done = run_python("driver.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout in code_blocks(TEXT, "text"), done.stdout


def test_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:`|^    )make ([a-z]+)", TEXT, re.M))
    assert {"demo", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)", TEXT))
def test_links_lead_somewhere(target):
    assert "://" not in target, "the README stands for itself"
    assert (ROOT / target).exists()
