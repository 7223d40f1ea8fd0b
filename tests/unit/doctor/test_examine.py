"""All probes: whole machines, broken machines, and this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pymmio.doctor import PROBES, Finding, Host, Probe, Report, State, check, devices, examine
from pymmio.errors import BadArgument, DeviceNotFound, UriError
from tests.unit.doctor.fake_host import BRIDGE, NIC, NVME, FakeHost, only, plain, ready

TOPICS = ["iommu", "vfio", "devices", "memory", "processor", "kernel", "qemu", "software"]


def assert_sound(report: Report) -> None:
    for finding in report:
        assert isinstance(finding, Finding)
        assert finding.topic in TOPICS
        assert finding.name
        assert finding.seen
        assert "\n" not in finding.seen + finding.next_step
        if finding.state in (State.MISSING, State.UNKNOWN):
            assert finding.next_step or finding.state is State.UNKNOWN, finding


@pytest.mark.parametrize("make", [plain, ready, FakeHost])
def test_whole_machines_have_no_failing_probe(
    make: Callable[[Path], FakeHost], tmp_path: Path
) -> None:
    report = examine(make(tmp_path))
    assert_sound(report)
    assert list(dict.fromkeys(finding.topic for finding in report)) == TOPICS
    assert not [finding for finding in report if "the probe failed" in finding.seen]


def test_this_machine_has_no_failing_probe() -> None:
    report = examine()
    assert_sound(report)
    assert not [finding for finding in report if "the probe failed" in finding.seen]


def test_an_empty_machine_is_no_error(tmp_path: Path) -> None:
    assert_sound(examine(Host(root=tmp_path, path="")))


def failing(host: Host) -> Iterator[Finding]:
    yield Finding("kernel", "first", State.OK, "seen")
    raise OSError(5, "broken")


def test_a_probe_that_fails_is_a_finding_behind_what_it_found() -> None:
    probe = Probe("kernel", "some", failing, ("vfio",))
    first, second = probe.run(Host())
    assert first.name == "first"
    assert (second.name, second.state) == ("some", State.UNKNOWN)
    assert "OSError: [Errno 5] broken" in second.seen
    assert second.needed_for == ("vfio",)


def test_ctrl_c_is_not_swallowed() -> None:
    def interrupted(host: Host) -> Iterator[Finding]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        Probe("kernel", "some", interrupted).run(Host())


JUNK = {
    "nothing": b"",
    "binary": bytes(range(256)),
    "words": b"a b c : d = e\n\n[x\n-1 99999999999999999999999999\n",
}


def test_whatever_a_file_holds_nothing_is_raised(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.function(NIC, driver="e1000e", group=7)
    cheap = [topic for topic in TOPICS if topic not in ("qemu", "software")]
    files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert len(files) > 30
    for path in files:
        content = path.read_bytes()
        for junk in JUNK.values():
            path.write_bytes(junk)
            assert_sound(examine(_again(host), topics=cheap))
        path.unlink()
        assert_sound(examine(_again(host), topics=cheap))
        path.mkdir()
        assert_sound(examine(_again(host), topics=cheap))
        path.rmdir()
        path.write_bytes(content)


def _again(host: FakeHost) -> FakeHost:
    """Return the machine without what was read of it before."""
    again = FakeHost.__new__(FakeHost)
    for name in ("_roots", "_path", "root", "_machine", "_release", "forbidden"):
        setattr(again, name, getattr(host, name))
    return again


def test_topics_are_chosen_and_progress_is_told(tmp_path: Path) -> None:
    shares: list[float] = []
    report = examine(plain(tmp_path), topics=["kernel"], progress=shares.append)
    assert {finding.topic for finding in report} == {"kernel"}
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == sum(probe.topic == "kernel" for probe in PROBES)


def test_a_machine_without_an_iommu_is_not_ready(tmp_path: Path) -> None:
    report = check("vfio", plain(tmp_path))
    assert not report.is_ready
    assert only(report, "IOMMU").state is State.MISSING


def test_a_machine_with_all_of_it_is_ready_and_so_is_its_device(tmp_path: Path) -> None:
    host = ready(tmp_path)
    assert check("vfio", host).is_ready
    report = check(f"vfio:{NVME}", host)
    assert report.is_ready
    assert NVME in [finding.name for finding in report]
    assert check(f"vfio:{NVME.removeprefix('0000:')}", host).is_ready


def test_a_user_without_permission_has_the_machine_but_not_the_device(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.forbidden = {"/dev/vfio/7", "/dev/vfio/devices/vfio0"}
    assert check("vfio", host).is_ready
    assert not check(f"vfio:{NVME}", host).is_ready


def test_full_memlock_is_not_ready(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.memlock(8 << 20)
    host.process(locked_kib=8 << 10)
    assert not check("vfio", host).is_ready


def test_a_probe_that_fails_is_not_ready(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.real("/proc/self/limits").unlink()
    assert not check("vfio", host).is_ready


@pytest.mark.parametrize("what", ["", "nvme", "vfio:", "sim:nvme", "vfioo"])
def test_other_purposes_are_refused(what: str, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="cannot be checked"):
        check(what, plain(tmp_path))


def test_devices_that_could_not_be_looked_at_are_not_said_to_be_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ready(tmp_path)
    monkeypatch.setattr(devices, "discover", lambda **_: [1 // 0])
    report = check(f"vfio:{NVME}", host)
    assert not report.is_ready
    assert "the probe failed" in only(report, "PCI functions").seen


def test_devices_that_are_not_there(tmp_path: Path) -> None:
    host = plain(tmp_path)
    with pytest.raises(UriError):
        check("vfio:nonsense", host)
    with pytest.raises(DeviceNotFound, match=r"0000:09:00\.0"):
        check("vfio:0000:09:00.0", host)
    with pytest.raises(DeviceNotFound, match="bridges"):
        check(f"vfio:{BRIDGE}", host)
