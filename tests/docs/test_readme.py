"""What the README shows works."""

from __future__ import annotations

import doctest
import re

import pytest

from tests.docs import paste
from tests.docs.pages import README, ROOT, code_blocks, run_python
from tests.tiers import TIERS

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


def test_the_demo_prints_what_is_shown_but_for_its_figures(tmp_path):
    done = run_python("-m", "pymmio.cli", "nvme", "demo", "sim:nvme?size=128M", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [_without_figures(line) for line in TEXT.splitlines() if line.startswith("    ")]
    missing = [line for line in done.stdout.splitlines() if _without_figures(line) not in lines]
    assert not missing, "make demo | python -m tests.docs.paste demo"


def _without_figures(line):
    return re.sub(r"\s+", " ", re.sub(r"[\d.,]+ ?([kMGT]?i?B/s|[mu]?s\b)?", "#", line)).strip()


def test_a_run_that_is_shown_has_the_tiers_of_today():
    shown = re.findall(r"^    ([a-z0-9-]+) +[\d.]+  passed", TEXT, re.M)
    assert shown in ([], [tier.name for tier in TIERS])


def test_only_a_good_run_is_pasted():
    readme = "<!-- test -->\nold\n<!-- end -->\n"
    table = "tier  seconds  result\nunit  1.0  passed\n"
    assert "    unit  1.0  passed\n" in paste.pasted(readme, "test", f"...\n{table}")
    with pytest.raises(SystemExit):
        paste.pasted(readme, "test", table.replace("passed", "failed: reason"))


def test_the_example_of_pasting_works():
    assert doctest.testmod(paste).failed == 0


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)", TEXT))
def test_links_lead_somewhere(target):
    assert "://" not in target, "the README stands for itself"
    assert (ROOT / target).exists()
