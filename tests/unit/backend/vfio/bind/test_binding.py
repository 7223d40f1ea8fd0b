"""bind(): what is refused, what is done, and that every step that fails is undone."""

from __future__ import annotations

import errno
import json

import pytest

from pymmio import policy
from pymmio.backend.vfio.bind import bind, recorded, restore
from pymmio.errors import (
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    PolicyRefused,
    PymmioError,
    Unsupported,
    UriError,
)
from tests.unit.backend.vfio.bind.fake_machine import (
    BRIDGE,
    EDU,
    NIC,
    NVME,
    FakeMachine,
    killed_at,
)

SYS = f"/sys/bus/pci/devices/{NVME}"
STEPS = [
    f"vfio-pci > {SYS}/driver_override",
    f"{NVME} > /sys/bus/pci/drivers/nvme/unbind",
    f"{NVME} > /sys/bus/pci/drivers_probe",
]


def add_nic(machine: FakeMachine) -> None:
    machine.add_function(NIC, driver="e1000e", group=7, class_code=0x020000)


def files_of(machine: FakeMachine) -> set[str]:
    state = machine.root / "state"
    return {path.name for path in state.iterdir()} if state.exists() else set()


def test_bind_makes_three_writes_in_this_order(machine):
    result = bind(NVME, machine=machine)
    assert machine.log == STEPS
    assert machine.state() == ("vfio-pci", "vfio-pci")
    assert [str(step) for step in result.steps] == [f"echo {line}" for line in STEPS]
    assert result.node == "/dev/vfio/7"
    assert str(result.changes[0]) == f"{NVME}: nvme -> vfio-pci"


@pytest.mark.parametrize("spelling", ["01:00.0", f"vfio:{NVME}", f"vfio:{NVME}?interface=cdev"])
def test_other_spellings_of_the_address(machine, spelling):
    bind(spelling, machine=machine)
    assert machine.driver(NVME) == "vfio-pci"


def test_no_address(machine):
    with pytest.raises(UriError, match="not a PCI address"):
        bind("nvme0", machine=machine)


def test_bind_remembers_the_former_driver_before_the_first_step(machine):
    machine.fail[1] = KeyboardInterrupt()
    seen = {}

    def write(path, text):
        seen.update(json.loads((machine.root / "state" / f"{NVME}.json").read_text()))
        return FakeMachine.write(machine, path, text)

    machine.write = write
    with pytest.raises(KeyboardInterrupt):
        bind(NVME, machine=machine)
    assert seen["former_driver"] == "nvme"
    assert seen["former_module"] == "nvme"
    assert seen["former_override"] == ""
    assert (seen["vendor_id"], seen["device_id"]) == (0x1B36, 0x0010)


def test_dry_run_shows_the_steps_and_does_nothing(machine):
    before = sorted(path for path in machine.root.rglob("*"))
    result = bind(NVME, dry_run=True, machine=machine)
    assert [str(step) for step in result.steps] == [f"echo {line}" for line in STEPS]
    assert result.dry_run
    assert machine.log == []
    assert sorted(path for path in machine.root.rglob("*")) == before


def test_dry_run_needs_no_rights(machine):
    machine.writable = False
    assert bind(NVME, dry_run=True, machine=machine).steps


def test_dry_run_refuses_as_the_real_run_does(machine):
    machine.add_disk()
    machine.mount("259:1", "/mnt", "/dev/nvme0n1p1")
    with pytest.raises(DeviceBusy, match="mounted at /mnt"):
        bind(NVME, dry_run=True, machine=machine)


def test_a_device_without_driver_needs_no_unbind(machine):
    result = bind(EDU, machine=machine)
    assert [line.rsplit("/", 1)[-1] for line in machine.log] == ["driver_override", "drivers_probe"]
    assert machine.driver(EDU) == "vfio-pci"
    assert result.changes[0].former is None


def test_binding_twice_changes_nothing_the_second_time(machine):
    bind(NVME, machine=machine)
    machine.log.clear()
    result = bind(NVME, machine=machine)
    assert machine.log == []
    assert not result.steps
    assert str(result.changes[0]) == f"{NVME}: vfio-pci, as before"
    assert recorded(machine=machine)[0].former == "nvme"


def test_a_device_that_a_variant_of_vfio_has_is_left_there(machine):
    machine.add_driver("mlx5_vfio_pci")
    machine.link(f"/sys/devices/pci0000:00/{NVME}/driver", "/sys/bus/pci/drivers/mlx5_vfio_pci")
    assert not bind(NVME, machine=machine).steps
    assert machine.driver(NVME) == "mlx5_vfio_pci"


def test_vfio_pci_is_loaded_where_it_is_missing(machine):
    (machine.real("/sys/bus/pci/drivers/vfio-pci") / "module").unlink()
    machine.real("/sys/bus/pci/drivers/vfio-pci").rmdir()
    dry = bind(NVME, dry_run=True, machine=machine)
    assert str(dry.steps[0]) == "modprobe vfio-pci"
    bind(NVME, machine=machine)
    assert machine.log == ["modprobe vfio-pci", *STEPS]


def test_a_missing_module_is_told_and_the_device_keeps_its_driver(machine):
    (machine.real("/sys/bus/pci/drivers/vfio-pci") / "module").unlink()
    machine.real("/sys/bus/pci/drivers/vfio-pci").rmdir()
    machine.loadable.clear()
    with pytest.raises(Unsupported, match=r"module vfio-pci cannot be loaded: .*CONFIG_VFIO_PCI"):
        bind(NVME, machine=machine)
    assert machine.state() == ("nvme", "")
    assert recorded(machine=machine) == ()


# --- every step that fails is undone -----------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("fault", [errno.EIO, errno.EBUSY, errno.ENODEV, errno.EINVAL])
def test_a_step_that_fails_is_undone(machine, number, fault):
    machine.fail[number] = fault
    with pytest.raises(PymmioError, match=f"{errno.errorcode[fault]}") as caught:
        bind(NVME, machine=machine)
    assert machine.state() == ("nvme", "")
    assert recorded(machine=machine) == ()
    assert f"{NVME} has nvme as before" in caught.value.__notes__
    bind(NVME, machine=machine)
    assert machine.driver(NVME) == "vfio-pci"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_step_that_fails_is_undone_for_a_device_without_driver(machine, number):
    machine.fail[number] = errno.EIO
    if number == 3:  # there is no unbind, so only two
        bind(EDU, machine=machine)
        return
    with pytest.raises(Unsupported):
        bind(EDU, machine=machine)
    assert machine.state(EDU) == (None, "")
    assert recorded(machine=machine) == ()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_step_that_is_interrupted_is_undone(machine, number):
    machine.fail[number] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bind(NVME, machine=machine)
    assert machine.state() == ("nvme", "")


def test_a_probe_that_binds_nothing_is_noticed_and_undone(machine):
    machine.drivers_that_refuse.add("vfio-pci")
    with pytest.raises(Unsupported, match="reported no error, and yet it has no driver"):
        bind(NVME, machine=machine)
    assert machine.state() == ("nvme", "")
    assert recorded(machine=machine) == ()


def test_a_write_without_effect_is_noticed(machine):
    machine.ignored.add(1)  # the override: so the probe gives it to nvme again
    with pytest.raises(Unsupported, match="and yet it has nvme"):
        bind(NVME, machine=machine)
    assert machine.state() == ("nvme", "")


@pytest.mark.parametrize("second", [4, 5])
def test_undoing_goes_on_when_one_of_its_steps_fails(machine, second):
    machine.drivers_that_refuse.add("vfio-pci")
    machine.fail[second] = errno.EIO
    with pytest.raises(Unsupported):
        bind(NVME, machine=machine)
    assert machine.state() == ("nvme", "")


def test_undoing_that_fails_altogether_is_told_and_restore_mends_it(machine):
    machine.drivers_that_refuse |= {"vfio-pci", "nvme"}
    with pytest.raises(Unsupported) as caught:
        bind(NVME, machine=machine)
    (note,) = caught.value.__notes__
    assert "undoing it failed too" in note
    assert f"pymmio restore {NVME}" in note
    assert machine.driver(NVME) is None
    machine.drivers_that_refuse.clear()
    restore(NVME, machine=machine)
    assert machine.state() == ("nvme", "")


def test_a_device_that_vanishes_in_the_middle(machine):
    def vanish(path, text):
        machine.real(f"/sys/bus/pci/devices/{NVME}").unlink()
        raise OSError(errno.ENODEV, "No such device")

    machine.write = vanish
    with pytest.raises(DeviceNotFound, match="the device is gone"):
        bind(NVME, machine=machine)


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_write_that_is_not_permitted(machine, fault):
    machine.fail[1] = fault
    with pytest.raises(PermissionRefused):
        bind(NVME, machine=machine)


def test_a_record_that_cannot_be_kept_leaves_all_as_it_is(machine, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PermissionRefused, match=r"cannot be kept.*No space left"):
        bind(NVME, machine=machine)
    assert machine.log == []
    assert files_of(machine) == {f"{NVME}.lock"}


# --- what is refused before ---------------------------------------------------------------


def test_a_device_that_does_not_exist(machine):
    with pytest.raises(DeviceNotFound):
        bind("0000:7f:00.0", machine=machine)


def test_without_root(machine):
    machine.writable = False
    with pytest.raises(PermissionRefused, match=f"sudo pymmio bind {NVME}"):
        bind(NVME, machine=machine)
    assert machine.log == []


def test_the_policy_is_asked_first(machine):
    def refuse(uri):
        raise PolicyRefused(f"not {uri}")

    policy.set_policy(refuse)
    try:
        with pytest.raises(PolicyRefused, match=f"not vfio:{NVME}"):
            bind(NVME, machine=machine)
    finally:
        policy.set_policy(None)
    assert machine.log == []


def test_a_bridge(machine):
    machine.add_function(BRIDGE, driver="pcieport", group=3, class_code=0x060400, header=1)
    with pytest.raises(Unsupported, match="is a bridge"):
        bind(BRIDGE, machine=machine)


def test_a_multifunction_device_is_no_bridge(machine):
    config = machine.real(f"{SYS}/config")
    config.write_bytes(config.read_bytes()[:0x0E] + b"\x80" + bytes(49))
    bind(NVME, machine=machine)


def test_a_device_that_does_not_answer(machine):
    machine.real(f"{SYS}/config").write_bytes(b"\xff" * 64)
    with pytest.raises(Unsupported, match="does not answer"):
        bind(NVME, machine=machine)


def test_a_device_without_iommu_group(machine):
    machine.add_function(NIC, driver=None, group=None)
    with pytest.raises(Unsupported, match="in no IOMMU group"):
        bind(NIC, machine=machine)


def test_a_device_without_iommu_group_where_that_was_allowed(machine):
    machine.add_function(NIC, driver=None, group=None)
    machine.text("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n")
    assert bind(NIC, machine=machine).node is None
    assert machine.driver(NIC) == "vfio-pci"


# --- groups ---------------------------------------------------------------------------------


def test_another_member_of_the_group_is_named_with_its_driver(machine):
    add_nic(machine)
    with pytest.raises(DeviceBusy, match=rf"group 7 .*{NIC} \(e1000e\).*--group"):
        bind(NVME, machine=machine)
    assert machine.log == []


def test_a_member_without_driver_or_with_pcieport_is_not_in_the_way(machine):
    machine.add_function(NIC, driver=None, group=7)
    machine.add_function(BRIDGE, driver="pcieport", group=7, class_code=0x060400, header=1)
    bind(NVME, machine=machine)
    assert machine.driver(BRIDGE) == "pcieport"


def test_force_binds_one_member_alone(machine):
    add_nic(machine)
    bind(NVME, force=True, machine=machine)
    assert machine.driver(NVME) == "vfio-pci"
    assert machine.driver(NIC) == "e1000e"


def test_a_bound_member_of_an_unusable_group_is_told(machine):
    add_nic(machine)
    bind(NVME, force=True, machine=machine)
    (remark,) = bind(NVME, machine=machine).remarks
    assert f"{NIC} (e1000e)" in remark


def test_group_binds_all_that_are_in_the_way(machine):
    add_nic(machine)
    result = bind(NVME, group=True, machine=machine)
    assert [str(change.address) for change in result.changes] == [NVME, NIC]
    assert machine.driver(NVME) == machine.driver(NIC) == "vfio-pci"
    assert {str(one.address) for one in recorded(machine=machine)} == {NVME, NIC}


def test_group_looks_at_each_member_before_the_first_step(machine):
    add_nic(machine)
    place = f"/sys/devices/pci0000:00/{NIC}/net/eth0"
    machine.text(f"{place}/ifindex", "2\n")
    machine.text(f"{place}/flags", "0x1003\n")
    with pytest.raises(DeviceBusy, match="eth0 is up"):
        bind(NVME, group=True, machine=machine)
    assert machine.log == []


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_group_is_undone_as_a_whole(machine, number):
    add_nic(machine)
    machine.fail[number] = errno.EIO
    with pytest.raises(Unsupported):
        bind(NVME, group=True, machine=machine)
    assert machine.state(NVME) == ("nvme", "")
    assert machine.state(NIC) == ("e1000e", "")
    assert recorded(machine=machine) == ()


def test_undoing_does_not_take_a_member_from_who_opened_it_meanwhile(machine):
    add_nic(machine)
    machine.fail[5] = errno.EIO
    machine.add_process(77, "quick", "/dev/vfio/7")
    with pytest.raises(Unsupported) as caught:
        bind(NVME, group=True, machine=machine)
    assert any("process 77 (quick)" in note for note in caught.value.__notes__)
    assert machine.driver(NIC) == "e1000e"
    assert machine.driver(NVME) == "vfio-pci"
    assert [str(one.address) for one in recorded(machine=machine)] == [NVME]


# --- state that somebody left ---------------------------------------------------------------


def test_a_driver_override_of_somebody_else_comes_back(machine):
    machine.text(f"{SYS}/driver_override", "nvme\n")
    bind(NVME, machine=machine)
    restore(NVME, machine=machine)
    assert machine.state() == ("nvme", "nvme")


def test_an_override_that_would_keep_the_former_driver_away_comes_back_last(machine):
    machine.text(f"{SYS}/driver_override", "vfio-pci\n")  # written by hand, not yet bound
    bind(NVME, machine=machine)
    restore(NVME, machine=machine)
    assert machine.state() == ("nvme", "vfio-pci")


def test_bind_after_an_interrupted_bind_remembers_the_real_driver(machine):
    killed_at(machine, 3, lambda: bind(NVME, machine=machine))
    assert machine.state() == (None, "vfio-pci")
    bind(NVME, machine=machine)
    (change,) = recorded(machine=machine)
    assert change.former == "nvme"
    restore(NVME, machine=machine)
    assert machine.state() == ("nvme", "")


def test_bind_after_one_that_got_as_far_as_the_override(machine):
    killed_at(machine, 2, lambda: bind(NVME, machine=machine))
    assert machine.state() == ("nvme", "vfio-pci")
    bind(NVME, machine=machine)
    restore(NVME, machine=machine)
    assert machine.state() == ("nvme", "")


def test_a_record_of_an_earlier_boot_does_not_count(machine):
    bind(NVME, machine=machine)
    machine.text("/proc/sys/kernel/random/boot_id", "another-boot")
    machine.text(f"{SYS}/driver_override", "(null)\n")
    machine.link(f"/sys/devices/pci0000:00/{NVME}/driver", "/sys/bus/pci/drivers/e1000e")
    assert recorded(machine=machine) == ()
    bind(NVME, machine=machine)
    assert recorded(machine=machine)[0].former == "e1000e"


def test_a_damaged_record_does_not_stop_a_bind(machine):
    (machine.root / "state").mkdir()
    (machine.root / "state" / f"{NVME}.json").write_text("{")
    bind(NVME, machine=machine)
    assert recorded(machine=machine)[0].former == "nvme"
