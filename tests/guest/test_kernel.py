"""The kernel is found, fetched and checked as tests.guest.kernel says; nothing is built here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.guest import kernel, needs, source
from tests.guest.cache import cache_root, digest, find_kernel, fragment_path, locked, work_folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def put_kernel(name: str, fragment: str, age_s: float = 0.0) -> Path:
    folder = cache_root() / f"kernel-x86_64-{name}"
    folder.mkdir(parents=True)
    record = folder / "build.json"
    record.write_text(f'{{"image": "bzImage", "fragment": "{digest(fragment)}"}}')
    os.utime(record, (1e9 - age_s, 1e9 - age_s))
    return folder / "bzImage"


def test_newest_kernel_of_the_present_fragment_is_used() -> None:
    fragment = fragment_path("x86_64").read_text()
    assert find_kernel("x86_64") is None
    put_kernel("other-fragment", fragment + "CONFIG_X=y\n")
    assert find_kernel("x86_64") is None
    put_kernel("old", fragment, age_s=10.0)
    newest = put_kernel("new", fragment)
    assert find_kernel("x86_64") == newest
    assert kernel.ensure_kernel() == newest


def test_missing_kernel_is_the_reason_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "missing_to_run", lambda arch: [])
    assert needs.reason_not_ready() == (
        "guest tier needs its x86_64 kernel: python -m tests.guest.kernel"
    )


def test_missing_package_is_the_reason_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    reason = needs.reason_not_ready()
    assert reason == "guest tier needs apt-get install qemu-system-x86 busybox-static util-linux"


def test_without_root_the_one_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionError, match="as root: apt-get install bc lz4"):
        needs.install([needs.Need("bc", command="bc"), needs.Need("lz4", command="lz4")])


@pytest.mark.parametrize(
    ("line", "config", "honoured"),
    [
        ("CONFIG_A=y", "CONFIG_A=y", True),
        ("CONFIG_A=y", "# CONFIG_A is not set", False),
        ("CONFIG_A=y", "CONFIG_A=m", False),
        ("CONFIG_A=y", "CONFIG_AB=y", False),
        ("CONFIG_A=n", "# CONFIG_A is not set", True),
        ("CONFIG_A=n", "CONFIG_AB=y", True),
        ("CONFIG_A=n", "CONFIG_A=y", False),
        ('CONFIG_A="-guest"', 'CONFIG_A="-guest"', True),
        ("# CONFIG_A=y", "", True),
    ],
)
def test_each_line_of_the_fragment_is_checked(line: str, config: str, honoured: bool) -> None:
    assert list(kernel.unhonoured(line + "\n", config + "\n")) == ([] if honoured else [line])


def test_fragment_says_each_thing_once() -> None:
    lines = fragment_path("x86_64").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines if not line.startswith("#")]
    assert len(names) == len(set(names))


def test_mirrors_are_those_of_the_machine_without_security() -> None:
    listing = (
        "bookworm|http://mirror.example/debian/\n"
        "bookworm-updates|http://mirror.example/debian/\n"
        "bookworm-security|http://mirror.example/debian-security/\n"
        "stable|http://tools.example/\n"
    )
    assert source.mirror_uris(listing) == ["http://mirror.example/debian/", "http://tools.example/"]


def test_candidate_version_of_an_unknown_package_is_none() -> None:
    assert source.candidate_version("") is None
    assert source.candidate_version("x:\n  Installed: 1\n  Candidate: (none)\n") is None
    assert source.candidate_version("x:\n  Candidate: 6.12.9-1~bpo12+1\n") == "6.12.9-1~bpo12+1"


def test_refusal_names_each_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(source, "CANDIDATES", ((None, "linux-source-6.1"),))
    with pytest.raises(source.SourceUnavailable, match=r"linux-source-6\.1 from the system's"):
        source.find_source(tmp_path)


def test_second_builder_waits_and_gives_up_at_its_deadline() -> None:
    waited: list[bool] = []
    with locked("kernel-x", 1.0):
        with pytest.raises(TimeoutError, match=r"kernel-x\.lock was held"):
            with locked("kernel-x", 0.0, lambda: waited.append(True)):
                pytest.fail("both hold the lock")
    assert waited == [True]


def test_left_behind_work_is_removed_by_the_next_builder() -> None:
    (cache_root() / ".kernel-x-killed").mkdir(parents=True)
    with work_folder("kernel-x") as work:
        assert list(cache_root().iterdir()) == [work]
    assert list(cache_root().iterdir()) == []
