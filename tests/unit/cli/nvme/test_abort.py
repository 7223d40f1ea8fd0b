"""``pymmio nvme abort``."""

from __future__ import annotations

import pytest

from tests.unit.cli.running import assert_fails, json_of, output, run


def test_nothing_is_there_to_abort() -> None:
    assert "did not abort" in output("nvme", "abort", "sim:nvme", "1", "0x12")
    found = json_of("nvme", "abort", "sim:nvme", "1", "0x12")
    assert found == {"uri": "sim:nvme", "sqid": 1, "cid": 0x12, "aborted": False}


def test_one_command_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    from pymmio_drivers.nvme.admin import Admin

    asked: list[tuple[int, int]] = []

    def abort(self: Admin, sqid: int, cid: int) -> bool:
        asked.append((sqid, cid))
        return True

    monkeypatch.setattr(Admin, "abort", abort)
    assert "aborts it" in output("nvme", "abort", "sim:nvme", "3", "7")
    assert asked == [(3, 7)]


def test_a_queue_that_is_not_there_is_the_controllers_error() -> None:
    assert_fails(run("nvme", "abort", "sim:nvme", "40", "0"), 1, "Invalid Field")


@pytest.mark.usefixtures("must_not_open")
@pytest.mark.parametrize("arguments", [("0x10000", "0"), ("0", "0x10000"), ("x", "0"), ("1",)])
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...]) -> None:
    assert_fails(run("nvme", "abort", "sim:nvme", *arguments), 2)
