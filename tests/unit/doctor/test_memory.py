"""Memory for DMA."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.doctor import Finding, State, memory
from tests.unit.doctor.fake_host import FakeHost


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def memlock(host: FakeHost) -> Finding:
    (finding,) = memory.memlock(host)
    assert finding.needed_for == ("vfio",)
    return finding


def test_a_generous_limit(host: FakeHost) -> None:
    assert (memlock(host).state, memlock(host).seen) == (State.OK, "4G, 0 in use")


def test_no_limit(host: FakeHost) -> None:
    host.memlock("unlimited")
    assert (memlock(host).state, memlock(host).seen) == (State.OK, "no limit")


def test_the_default_limit_is_a_warning(host: FakeHost) -> None:
    host.memlock(8 << 20)
    assert memlock(host).state is State.WARN
    assert "pymmio setup-user" in memlock(host).next_step


def test_a_limit_that_is_used_up(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.memlock(64 << 20)
    host.process(locked_kib=64 << 10)
    assert (memlock(host).state, memlock(host).seen) == (State.MISSING, "64M, 64M in use")


def test_root_has_no_limit(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.memlock(0)
    host.process(capabilities=1 << 14)
    assert memlock(host).state is State.OK
    host = FakeHost(tmp_path)
    host.memlock(0)
    host.process(capabilities=~(1 << 14) & (1 << 40) - 1)
    assert memlock(host).state is State.MISSING


def pool(host: FakeHost, kib: int, total: int, free: int) -> None:
    folder = f"/sys/kernel/mm/hugepages/hugepages-{kib}kB"
    host.text(f"{folder}/nr_hugepages", f"{total}\n")
    host.text(f"{folder}/free_hugepages", f"{free}\n")


def test_pools_of_huge_pages(host: FakeHost) -> None:
    (finding,) = memory.hugepages(host)
    assert finding.state is State.INFO
    pool(host, 1 << 20, 0, 0)
    pool(host, 2048, 64, 0)
    (finding,) = memory.hugepages(host)
    assert finding.state is State.INFO
    assert finding.seen == "0 of 64 free of 2M, 0 of 0 free of 1G"
    pool(host, 2048, 64, 3)
    (finding,) = memory.hugepages(host)
    assert (finding.state, finding.next_step) == (State.OK, "")
