from __future__ import annotations

import resource
from pathlib import Path

import pytest

from pymmio.dma import Budget, MemoryFacts, read_memory_facts
from pymmio.errors import BudgetExceeded

MEMINFO = """\
MemTotal:       24684544 kB
MemAvailable:       2048 kB
HugePages_Total:       8
HugePages_Free:        5
HugePages_Rsvd:        2
Hugepagesize:       2048 kB
"""
NO_CAPABILITY = "0000000000000000"
ALL_BUT_IPC_LOCK = "000001ffffffbfff"
IPC_LOCK = "0000000000004000"


def proc(root: Path, *, capabilities: str = NO_CAPABILITY, locked_kib: int = 12) -> Path:
    (root / "self").mkdir()
    (root / "meminfo").write_text(MEMINFO)
    (root / "self" / "status").write_text(
        f"Name:\tpython\nVmLck:\t{locked_kib:8} kB\nCapEff:\t{capabilities}\n"
    )
    return root


@pytest.fixture
def memlock_64k(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (65536, resource.RLIM_INFINITY))


@pytest.mark.usefixtures("memlock_64k")
def test_facts_are_read_in_bytes(tmp_path: Path) -> None:
    assert read_memory_facts(proc(tmp_path)) == MemoryFacts(
        memlock_limit=65536,
        locked=12 * 1024,
        available=2048 * 1024,
        hugepage_size=2 << 20,
        hugepages_free=3,
    )


@pytest.mark.usefixtures("memlock_64k")
@pytest.mark.parametrize(
    ("capabilities", "limit"), [(ALL_BUT_IPC_LOCK, 65536), (IPC_LOCK, None), (NO_CAPABILITY, 65536)]
)
def test_cap_ipc_lock_lifts_the_memlock_limit(
    tmp_path: Path, capabilities: str, limit: int | None
) -> None:
    assert read_memory_facts(proc(tmp_path, capabilities=capabilities)).memlock_limit == limit


def test_unlimited_memlock_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda which: (infinity, infinity))
    assert read_memory_facts(proc(tmp_path)).memlock_limit is None


@pytest.mark.usefixtures("memlock_64k")
def test_without_proc_only_the_limit_is_known(tmp_path: Path) -> None:
    assert read_memory_facts(tmp_path / "missing") == MemoryFacts(memlock_limit=65536)


def test_this_machine_has_memory_available() -> None:
    facts = read_memory_facts()
    assert facts.available is not None
    assert facts.available > 0


def check(size: int, facts: MemoryFacts, **other: object) -> None:
    arguments: dict[str, object] = {"held": 0, "pins_memory": True} | other
    limit = arguments.pop("limit_bytes", None)
    budget = Budget(limit_bytes=limit)  # type: ignore[arg-type]
    budget.check(size, facts=facts, **arguments)  # type: ignore[arg-type]


def test_memlock_is_checked_to_the_byte() -> None:
    facts = MemoryFacts(memlock_limit=8192)
    check(4096, facts, held=4096)
    with pytest.raises(BudgetExceeded):
        check(4097, facts, held=4096)


def test_memlock_message_has_the_numbers_and_the_next_step() -> None:
    with pytest.raises(BudgetExceeded) as caught:
        check(1 << 20, MemoryFacts(memlock_limit=65536), held=8192)
    text = str(caught.value)
    assert "1048576 bytes" in text
    assert "65536 bytes, 8192 of which" in text
    assert "ulimit -l 1032" in text
    assert "limits.conf" in text


def test_memlock_used_by_others_in_the_process_counts() -> None:
    with pytest.raises(BudgetExceeded, match="61440 of which"):
        check(8192, MemoryFacts(memlock_limit=65536, locked=61440), held=4096)


def test_own_memory_is_not_counted_twice() -> None:
    # type1 adds what this space holds to VmLck.
    check(4096, MemoryFacts(memlock_limit=12288, locked=8192), held=8192)


def test_memlock_does_not_matter_where_memory_is_not_pinned() -> None:
    check(1 << 20, MemoryFacts(memlock_limit=65536), pins_memory=False)


def test_more_than_available_is_refused() -> None:
    check(4096, MemoryFacts(available=4096))
    with pytest.raises(BudgetExceeded, match="4096 bytes available"):
        check(4097, MemoryFacts(available=4096))


def test_budget_of_the_user_counts_what_is_held() -> None:
    check(4096, MemoryFacts(), held=4096, limit_bytes=8192)
    with pytest.raises(BudgetExceeded, match="budget of 8192 bytes, 8192 of which"):
        check(4096, MemoryFacts(), held=8192, limit_bytes=8192)


def test_empty_pool_of_huge_pages_names_the_sysctl() -> None:
    facts = MemoryFacts(hugepage_size=2 << 20, hugepages_free=1, available=0)
    check(2 << 20, facts, hugepages=True)
    with pytest.raises(BudgetExceeded, match=r"2 huge pages .* 1 are free.*vm\.nr_hugepages"):
        check(4 << 20, facts, hugepages=True)
