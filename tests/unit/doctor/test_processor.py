"""Architecture, device faults, cache write-back."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from pymmio.dax import write_back_name
from pymmio.doctor import Host, State, processor
from tests.unit.doctor.fake_host import AT_HWCAP, AT_HWCAP2, FakeHost


def test_the_running_architecture_is_known() -> None:
    (finding,) = processor.architecture(Host())
    assert finding.state is State.OK
    assert finding.seen.startswith(platform.machine())


def test_an_architecture_without_accessors(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, machine="mips64")
    (finding,) = processor.architecture(host)
    assert finding.state is State.MISSING
    assert finding.needed_for == ("vfio",)
    assert next(iter(processor.mmio(host))).state is State.UNKNOWN
    assert next(iter(processor.write_back(host))).state is State.UNKNOWN


def test_loads_and_stores(tmp_path: Path) -> None:
    (finding,) = processor.mmio(FakeHost(tmp_path))
    assert finding.state is State.OK
    assert finding.seen.startswith("load or store on a mapping")


def test_s390x_has_instructions_or_system_calls(tmp_path: Path) -> None:
    bit_21 = 0x20_0000
    host = FakeHost(tmp_path, machine="s390x")
    host.auxv({AT_HWCAP: bit_21})
    (finding,) = processor.mmio(host)
    assert "PCI memory-I/O instructions (pcimio)" in finding.seen
    host = FakeHost(tmp_path, machine="s390x")
    host.auxv({AT_HWCAP: ~bit_21 & 0xFFFF_FFFF})
    (finding,) = processor.mmio(host)
    assert "system calls 352 and 353" in finding.seen


@pytest.mark.parametrize("states", [("none", "none"), ("pymmio", "pymmio"), ("pymmio", "other")])
def test_whose_the_fault_handler_is(
    states: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = dict(zip(("SIGBUS", "SIGSEGV"), states))
    monkeypatch.setattr(processor, "fault_handler_state", lambda: fake)
    (finding,) = processor.fault_handler(FakeHost(tmp_path))
    assert finding.state is (State.OK if set(states) == {"pymmio"} else State.INFO)
    assert f"SIGSEGV: {states[1]}" in finding.seen


def seen(host: FakeHost) -> str:
    (finding,) = processor.write_back(host)
    assert finding.state in (State.OK, State.INFO)
    return finding.seen


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("fpu clflush clwb clflushopt", "CLWB, CLFLUSHOPT, CLFLUSH"),
        ("fpu clflush", "CLFLUSH"),
        ("fpu clwbx", "none that this process may use"),
    ],
)
def test_x86(tmp_path: Path, flags: str, said: str) -> None:
    host = FakeHost(tmp_path)
    host.processor(flags=flags)
    assert seen(host) == said


@pytest.mark.parametrize(
    ("hwcap", "hwcap2", "said"),
    [
        (0x1_0000, 0x1, "DC CVAP, DC CVADP, DC CVAC"),
        (0x1_0000, 0x2, "DC CVAP, DC CVAC"),
        (0xFFFE_FFFF, 0xFFFF_FFFE, "DC CVAC"),
    ],
)
def test_aarch64(tmp_path: Path, hwcap: int, hwcap2: int, said: str) -> None:
    host = FakeHost(tmp_path, machine="aarch64")
    host.auxv({AT_HWCAP: hwcap, AT_HWCAP2: hwcap2})
    assert seen(host) == said


def test_ppc64le(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, machine="ppc64le")
    assert seen(host) == "DCBST, DCBF"
    host = FakeHost(tmp_path, machine="ppc64le")
    host.auxv({AT_HWCAP2: 0x4_0000})
    assert seen(host) == "DCBSTPS, DCBFPS"


def test_riscv64(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, machine="riscv64")
    host.processor(isa="rv64imafdc_zicbom_zicboz")
    assert seen(host) == "CBO.CLEAN (Zicbom)"
    host = FakeHost(tmp_path, machine="riscv64")
    host.processor(isa="rv64imafdc_zicboz")
    assert seen(host) == "none that this process may use"


def test_the_first_is_the_one_that_dax_takes() -> None:
    (finding,) = processor.write_back(Host())
    first = finding.seen.partition(",")[0].partition(" (")[0].lower()
    told = {"none needed": "not needed", "none that this process may use": None}
    assert told.get(first, first) == write_back_name()


def test_s390x_needs_none(tmp_path: Path) -> None:
    assert seen(FakeHost(tmp_path, machine="s390x")) == "none needed"
