"""pymmio bind, unbind, restore: what is printed, and with which exit code."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from pymmio.backend.vfio.bind import binding, restoring
from pymmio.cli.app import cli
from tests.unit.backend.vfio.bind.fake_machine import EDU, NVME, FakeMachine


@pytest.fixture
def machine(tmp_path, monkeypatch):
    fake = FakeMachine(tmp_path)
    monkeypatch.setattr(binding, "Machine", lambda: fake)
    monkeypatch.setattr(restoring, "Machine", lambda: fake)
    return fake


def pymmio(*arguments: str):
    return CliRunner().invoke(cli, arguments)


def said(result) -> str:
    return " ".join(result.output.split())


def test_bind_and_restore(machine):
    result = pymmio("bind", NVME)
    assert (result.exit_code, result.stdout) == (0, f"{NVME}: nvme -> vfio-pci\n")
    result = pymmio("restore", NVME)
    assert (result.exit_code, result.stdout) == (0, f"{NVME}: vfio-pci -> nvme\n")


def test_dry_run_prints_lines_for_a_root_shell(machine):
    result = pymmio("bind", NVME, "--dry-run")
    lines = [line.partition("  #")[0].rstrip() for line in result.stdout.splitlines()]
    assert lines == [
        f"# {NVME}: nvme -> vfio-pci",
        f"echo vfio-pci > /sys/bus/pci/devices/{NVME}/driver_override",
        f"echo {NVME} > /sys/bus/pci/drivers/nvme/unbind",
        f"echo {NVME} > /sys/bus/pci/drivers_probe",
    ]
    assert machine.log == []


def test_dry_run_with_nothing_to_do(machine):
    pymmio("bind", NVME)
    assert "nothing to do" in pymmio("bind", NVME, "--dry-run").stdout


def test_json_of_bind(machine):
    value = json.loads(pymmio("bind", NVME, "--json").stdout)
    assert value["address"] == NVME
    assert value["node"] == "/dev/vfio/7"
    assert value["iommu_group"] == 7
    (change,) = value["changes"]
    assert change["former_driver"] == "nvme"
    assert change["driver"] == "vfio-pci"
    assert change["steps"][0]["command"].startswith("echo vfio-pci > ")


def test_what_is_in_use_is_one_line_and_exit_code_6(machine):
    machine.add_disk()
    machine.mount("259:1", "/mnt", "/dev/nvme0n1p1")
    result = pymmio("bind", NVME)
    assert result.exit_code == 6
    assert result.stdout == ""
    assert said(result) == (
        f"pymmio: {NVME} (nvme) is in use: /dev/nvme0n1p1 (ext4) is mounted at /mnt. "
        "First: umount /mnt"
    )


def test_force_says_what_it_overrode(machine):
    machine.add_disk()
    machine.add_process(42, "smartd", "/dev/nvme0n1")
    result = pymmio("bind", NVME, "--force")
    assert result.exit_code == 0
    assert "process 42 (smartd) (overridden)" in said(result)


def test_a_failure_tells_that_it_was_undone(machine):
    machine.drivers_that_refuse.add("vfio-pci")
    result = pymmio("bind", NVME)
    assert result.exit_code == 1
    assert said(result).endswith(f"; {NVME} has nvme as before")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("bind", "nvme0"), 2),
        (("bind", "0000:7f:00.0"), 4),
        (("unbind", NVME), 2),
        (("restore", NVME), 4),
        (("restore", NVME, "--all"), 2),
        (("bind",), 2),
    ],
)
def test_exit_codes(machine, arguments, code):
    assert pymmio(*arguments).exit_code == code
    assert machine.log == []


def test_without_root(machine):
    machine.writable = False
    assert pymmio("bind", NVME).exit_code == 3


def test_restore_lists_what_there_is(machine):
    assert "nothing to restore" in pymmio("restore").stderr
    pymmio("bind", NVME)
    pymmio("bind", EDU)
    rows = [line.split() for line in pymmio("restore").stdout.splitlines()]
    assert rows[1:] == [[NVME, "vfio-pci", "nvme"], [EDU, "vfio-pci", "none"]]
    assert [one["address"] for one in json.loads(pymmio("restore", "--json").stdout)] == [NVME, EDU]


def test_restore_all_tells_of_each_and_ends_with_the_first_error(machine):
    pymmio("bind", NVME)
    pymmio("bind", EDU)
    machine.drivers_that_refuse.add("nvme")
    result = pymmio("restore", "--all")
    assert result.exit_code == 1
    assert f"{EDU}: vfio-pci -> no driver" in result.stdout
    assert "could not be given back to nvme" in result.stderr
    value = json.loads(pymmio("restore", "--all", "--json").stdout)
    assert "could not be given back" in value[0]["changes"][0]["error"]


def test_restore_all_with_nothing_to_do(machine):
    result = pymmio("restore", "--all")
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(pymmio("restore", "--all", "--json").stdout) == []


def test_unbind(machine):
    pymmio("bind", NVME)
    assert pymmio("unbind", NVME).stdout == f"{NVME}: vfio-pci -> nvme\n"


def test_setup_user_prints_and_changes_nothing(machine):
    result = pymmio("setup-user", "--user", "nobody", "--memlock", "8G")
    assert result.exit_code == 0
    assert 'SUBSYSTEM=="vfio", KERNEL=="[0-9]*", OWNER="nobody"' in result.stdout
    assert "nobody - memlock 8388608" in result.stdout
    value = json.loads(pymmio("setup-user", "--user", "nobody", "--json").stdout)
    assert [file["path"].split("/")[2] for file in value["files"]] == [
        "udev",
        "security",
        "systemd",
    ]


def test_setup_user_for_root(machine):
    assert pymmio("setup-user", "--user", "root").exit_code == 2
