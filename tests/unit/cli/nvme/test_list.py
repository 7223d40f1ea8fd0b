"""``pymmio nvme list``."""

from __future__ import annotations

import pytest

from pymmio_drivers.nvme.admin import Admin
from tests.unit.cli.running import assert_one_line, json_of, output, run


def test_one_line_a_namespace() -> None:
    head, *rows = output("nvme", "list", "sim:nvme?size=2M&ns=3").splitlines()
    assert head.split() == ["nsid", "size", "blocks", "block", "size", "identifier"]
    assert [row.split()[:6] for row in rows] == [
        [str(nsid), "2", "MiB", "4096", "512", "B"] for nsid in (1, 2, 3)
    ]
    assert len({row.split()[6] for row in rows}) == 3


def test_blocks_of_4096_bytes() -> None:
    (row,) = output("nvme", "list", "sim:nvme?size=2M&block_size=4096").splitlines()[1:]
    assert row.split()[:6] == ["1", "2", "MiB", "512", "4", "KiB"]


def test_json_has_numbers_and_identifiers() -> None:
    found = json_of("nvme", "list", "sim:nvme?size=2M")
    (one,) = found["namespaces"]
    assert (one["nsid"], one["block_size"], one["block_count"]) == (1, 512, 4096)
    assert one["size"] == 2 << 20
    assert set(one["ids"]) >= {"uuid", "nguid", "eui64"}
    assert len(one["ids"]["uuid"]) == 36


def test_one_without_blocks_is_left_out_with_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Admin.identify_namespace
    monkeypatch.setattr(
        Admin, "identify_namespace", lambda self, nsid: ask(self, 200 if nsid == 2 else nsid)
    )
    shown = run("nvme", "list", "sim:nvme?size=2M&ns=3")
    assert shown.exit_code == 0
    assert [row.split()[0] for row in shown.stdout.splitlines()] == ["nsid", "1", "3"]
    assert_one_line(shown.stderr, "left out", "namespace 2 has no blocks")
    shown = run("nvme", "demo", "sim:nvme?size=2M&ns=3")
    assert shown.exit_code == 0, shown.stderr
    monkeypatch.setattr(Admin, "identify_namespace", lambda self, nsid: ask(self, 200))
    shown = run("nvme", "list", "sim:nvme?size=2M&ns=2")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr.count("left out") == 2
