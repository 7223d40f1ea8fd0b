"""Records survive, are whole or absent, and are believed only where they may be."""

from __future__ import annotations

import os
import signal

import pytest

from pymmio.backend.vfio.bind import ledger as ledger_module
from pymmio.backend.vfio.bind.ledger import Ledger, Record
from pymmio.backend.vfio.bind.machine import Machine
from pymmio.errors import DeviceBusy, PermissionRefused, Unsupported
from pymmio.pci.address import PciAddress
from tests.unit.backend.vfio.bind.fake_machine import BOOT_ID, EDU, NVME

ADDRESS = PciAddress.parse(NVME)


def record(address: str = NVME, **changes) -> Record:
    values = {
        "address": address,
        "vendor_id": 0x1B36,
        "device_id": 0x0010,
        "former_driver": "nvme",
        "former_module": "nvme",
        "former_override": "",
        "boot_id": BOOT_ID,
    }
    return Record(**{**values, **changes})


@pytest.fixture
def ledger(machine):
    return Ledger(machine)


def test_a_record_comes_back_as_it_was(ledger):
    kept = record(former_override="nvme")
    ledger.keep(kept)
    assert ledger.find(ADDRESS) == kept
    assert ledger.addresses() == (ADDRESS,)


def test_a_record_replaces_the_former_one(ledger):
    ledger.keep(record())
    ledger.keep(record(former_driver=None))
    assert ledger.find(ADDRESS).former_driver is None


def test_forgetting_twice_is_fine(ledger):
    ledger.keep(record())
    ledger.forget(ADDRESS)
    ledger.forget(ADDRESS)
    assert ledger.find(ADDRESS) is None


def test_a_record_of_another_boot_is_none(ledger):
    ledger.keep(record(boot_id="earlier"))
    assert ledger.find(ADDRESS) is None
    assert ledger.addresses() == ()


def test_a_half_written_record_is_never_seen(ledger, machine, monkeypatch):
    ledger.keep(record())

    def crash(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.rename", crash)
    with pytest.raises(PermissionRefused):
        ledger.keep(record(former_driver="other"))
    assert ledger.find(ADDRESS).former_driver == "nvme"
    assert {path.name for path in (machine.root / "state").iterdir()} == {f"{NVME}.json"}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", "\xff", '{"address": "x"}', "9" * 5000],
)
def test_a_damaged_record_is_an_error_that_names_the_file(ledger, machine, text):
    ledger.keep(record())
    path = machine.root / "state" / f"{NVME}.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(Unsupported, match=str(path)):
        ledger.find(ADDRESS)
    assert ledger.addresses() == (ADDRESS,)


def test_a_record_under_a_wrong_name_is_an_error(ledger, machine):
    (machine.root / "state").mkdir()
    (machine.root / "state" / f"{EDU}.json").write_text(record().to_json())
    with pytest.raises(Unsupported, match=f"it is about {NVME}"):
        ledger.find(PciAddress.parse(EDU))


def test_other_files_are_passed_over(ledger, machine):
    ledger.keep(record())
    (machine.root / "state" / "notes.json").write_text("{}")
    assert ledger.addresses() == (ADDRESS,)


def test_a_directory_that_others_may_write_is_not_believed(ledger, machine):
    ledger.keep(record())
    (machine.root / "state").chmod(0o777)
    assert ledger.find(ADDRESS) is None
    with pytest.raises(PermissionRefused, match="somebody else"):
        ledger.keep(record())


def test_a_link_in_the_place_of_a_lock_is_not_followed(ledger, machine, tmp_path):
    (machine.root / "state").mkdir()
    (machine.root / "state" / f"{NVME}.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        with ledger.locked((ADDRESS,)):
            pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_second_program_waits_and_then_names_the_first(ledger, monkeypatch):
    monkeypatch.setattr(ledger_module, "_LOCK_TIMEOUT_S", 0.05)
    with ledger.locked((ADDRESS,)):
        with pytest.raises(DeviceBusy, match=rf"process {os.getpid()}\) is changing .* {NVME}"):
            with ledger.locked((ADDRESS,)):
                pass
        with ledger.locked((PciAddress.parse(EDU),)):
            pass
    with ledger.locked((ADDRESS,)):
        pass


def test_a_lock_of_a_dead_process_is_free(ledger):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with ledger.locked((ADDRESS,)):
            os.write(writing, b"x")
            signal.pause()
        os._exit(0)
    os.read(reading, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)
    with ledger.locked((ADDRESS,)):
        pass


def test_locks_are_taken_in_one_order_whatever_the_caller_says(ledger, monkeypatch):
    order = []

    def lock(path, address):
        order.append(str(address))
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(ledger_module, "_lock", lock)
    for addresses in ((ADDRESS, PciAddress.parse(EDU)), (PciAddress.parse(EDU), ADDRESS)):
        with ledger.locked(addresses):
            pass
    assert order == [NVME, EDU, NVME, EDU]


def test_locks_leave_no_descriptor(ledger):
    before = len(os.listdir("/proc/self/fd"))
    with ledger.locked((ADDRESS, PciAddress.parse(EDU))):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_places_are_run_and_the_users_own(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/home/u/state")
    assert [str(place) for place in Machine().state_directories()] == [
        "/run/pymmio",
        "/home/u/state/pymmio",
    ]
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/u")
    assert str(Machine().state_directories()[1]) == "/home/u/.local/state/pymmio"


def places(machine, monkeypatch, *names: str):
    paths = tuple(machine.root / name for name in names)
    monkeypatch.setattr(machine, "state_directories", lambda: paths)
    return paths


def test_a_place_that_cannot_be_made_is_passed_over(machine, ledger, monkeypatch):
    (machine.root / "file").write_text("")
    _, second = places(machine, monkeypatch, "file/x", "second")
    ledger.keep(record())
    assert (second / f"{NVME}.json").exists()


def test_a_record_is_found_in_either_place_the_first_one_counts(machine, ledger, monkeypatch):
    _, second = places(machine, monkeypatch, "first", "second")
    second.mkdir()
    (second / f"{NVME}.json").write_text(record(former_driver="second").to_json())
    assert ledger.find(ADDRESS).former_driver == "second"
    ledger.keep(record(former_driver="first"))
    assert ledger.find(ADDRESS).former_driver == "first"
    assert ledger.addresses() == (ADDRESS,)
    ledger.forget(ADDRESS)
    assert ledger.find(ADDRESS) is None


def test_no_place_at_all(machine, ledger, monkeypatch):
    (machine.root / "file").write_text("")
    places(machine, monkeypatch, "file/x")
    with pytest.raises(PermissionRefused, match=r"no place to remember.*Not a directory"):
        ledger.keep(record())


def test_a_record_that_cannot_be_removed_is_told(machine, ledger, monkeypatch):
    ledger.keep(record())

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(PermissionRefused, match="cannot be removed"):
        ledger.forget(ADDRESS)
