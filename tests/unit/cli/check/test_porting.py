"""``pymmio check porting``: where it looks, what it prints, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli.running import assert_fails, output, run


def test_findings_are_lines_and_an_exit_code_of_1(tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text('import struct\nstruct.pack("I", 1)\n')
    result = run("check", "porting", str(driver))
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{driver}:2: struct format 'I' ")
    (finding,) = json.loads(run("check", "porting", str(driver), "--json").stdout)
    assert (finding["file"], finding["line"]) == (str(driver), 2)


def test_nothing_found_is_nothing_printed(tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text("x = 1\n")
    assert output("check", "porting", str(driver)) == ""


def test_what_is_no_source_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text("x = = 1\n")
    assert_fails(run("check", "porting", str(tmp_path / "driver.py")), 2, "no Python source")
    assert_fails(run("check", "porting", str(tmp_path / "absent.py")), 1, "absent.py")
