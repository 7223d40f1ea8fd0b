"""``pymmio nvme identify``."""

from __future__ import annotations

from tests.unit.cli.running import assert_fails, json_of, output, run, run_on_terminal


def facts_of(text: str) -> dict[str, str]:
    """Split two columns: names may have single spaces in them."""
    pairs = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {name: value.strip() for name, value in pairs}


def test_shows_what_people_ask_first() -> None:
    facts = facts_of(output("nvme", "identify", "sim:nvme?serial=ABC123"))
    assert facts["serial number"] == "ABC123"
    assert facts["model"] == "pymmio NVMe model"
    assert facts["NVMe version"] == "1.4.0"
    assert facts["namespaces"].startswith("1 active")
    assert facts["longest transfer"] == "512 KiB"
    assert "compare" in facts["also knows"]


def test_json_is_the_structure_by_the_names_of_the_specification() -> None:
    found = json_of("nvme", "identify", "sim:nvme?serial=ABC123&mdts=3")
    assert found["uri"] == "sim:nvme?serial=ABC123&mdts=3"
    assert found["sn"] == "ABC123"
    assert found["mdts"] == 3
    assert found["ver"] == 0x0001_0400
    assert len(found["psd"]) == 32


def test_json_of_a_namespace() -> None:
    found = json_of("nvme", "identify", "sim:nvme?size=1M", "--namespace", "1")
    assert found["nsze"] == 2048


def test_full_shows_every_field() -> None:
    text = output("nvme", "identify", "sim:nvme", "--full")
    for name in ("vid", "subnqn", "oacs_format", "vwc_present"):
        assert f" {name} " in text


def test_a_namespace_in_short() -> None:
    text = output("nvme", "identify", "sim:nvme?size=1M", "--namespace", "1")
    assert text.splitlines()[1].split()[:6] == ["1", "1", "MiB", "2048", "512", "B"]


def test_a_namespace_that_does_not_exist_is_told_with_those_that_do() -> None:
    result = run("nvme", "identify", "sim:nvme?ns=2", "--namespace", "3")
    assert_fails(result, 4, "no active namespace 3", "1, 2")


def test_what_is_no_nvme_controller_is_refused() -> None:
    assert_fails(run("nvme", "identify", "sim:edu"), 1, "0x010802")


def test_a_controller_that_does_not_become_ready_is_a_time_out() -> None:
    assert_fails(run("nvme", "identify", "sim:nvme?to=1&ready_reads=1000000"), 5, "0.5 s")


def test_a_terminal_gets_a_frame() -> None:
    code, shown = run_on_terminal("nvme", "identify", "sim:nvme")
    assert code == 0
    assert "╭" in shown
    assert "pymmio NVMe model" in shown
