"""restore() and unbind(): from every state that an interrupted change can leave."""

from __future__ import annotations

import errno
import os
import signal
import threading

import pytest

from pymmio.backend.vfio.bind import bind, recorded, restore, restore_all, unbind
from pymmio.errors import BadArgument, DeviceBusy, DeviceNotFound, PermissionRefused, Unsupported
from tests.unit.backend.vfio.bind.fake_machine import EDU, NIC, NVME, FakeMachine, killed_at

SYS = f"/sys/bus/pci/devices/{NVME}"


def test_restore_gives_back_what_bind_took(machine):
    bind(NVME, machine=machine)
    machine.log.clear()
    result = restore(NVME, machine=machine)
    assert machine.log == [
        f" > {SYS}/driver_override",
        f"{NVME} > /sys/bus/pci/drivers/vfio-pci/unbind",
        f"{NVME} > /sys/bus/pci/drivers/nvme/bind",
    ]
    assert machine.state() == ("nvme", "")
    assert recorded(machine=machine) == ()
    assert str(result.changes[0]) == f"{NVME}: vfio-pci -> nvme"


def test_restore_of_a_device_that_had_no_driver(machine):
    bind(EDU, machine=machine)
    restore(EDU, machine=machine)
    assert machine.state(EDU) == (None, "")
    assert recorded(machine=machine) == ()


@pytest.mark.parametrize(
    ("address", "number"), [(NVME, 1), (NVME, 2), (NVME, 3), (EDU, 1), (EDU, 2)]
)
def test_restore_after_sigkill_in_the_middle_of_bind(machine, address, number):
    before = machine.state(address)
    killed_at(machine, number, lambda: bind(address, machine=machine))
    restore(address, machine=machine)
    assert machine.state(address) == before
    assert recorded(machine=machine) == ()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_restore_after_sigkill_in_the_middle_of_restore(machine, number):
    bind(NVME, machine=machine)
    killed_at(machine, number, lambda: restore(NVME, machine=machine))
    restore(NVME, machine=machine)
    assert machine.state() == ("nvme", "")


def test_restore_goes_by_the_kernels_choice_where_bind_fails(machine):
    bind(NVME, machine=machine)
    machine.fail = {6: errno.EIO, 7: errno.EIO}  # nvme/bind, twice
    restore(NVME, machine=machine)
    assert machine.log[-1].endswith("drivers_probe")
    assert machine.state() == ("nvme", "")


def test_restore_that_fails_keeps_the_record_and_says_what_is(machine):
    bind(NVME, machine=machine)
    machine.drivers_that_refuse.add("nvme")
    with pytest.raises(Unsupported, match="could not be given back to nvme: it has no driver now"):
        restore(NVME, machine=machine)
    assert recorded(machine=machine)[0].former == "nvme"
    machine.drivers_that_refuse.clear()
    restore(NVME, machine=machine)
    assert machine.state() == ("nvme", "")


def test_restore_loads_the_module_of_a_driver_that_is_gone(machine):
    bind(NVME, machine=machine)
    (machine.real("/sys/bus/pci/drivers/nvme") / "module").unlink()
    machine.real("/sys/bus/pci/drivers/nvme").rmdir()
    machine.loadable["nvme"] = "nvme"
    restore(NVME, machine=machine)
    assert "modprobe nvme" in machine.log
    assert machine.state() == ("nvme", "")


def test_dry_run_of_restore(machine):
    bind(NVME, machine=machine)
    machine.log.clear()
    result = restore(NVME, dry_run=True, machine=machine)
    assert [str(step) for step in result.steps] == [
        f"echo > {SYS}/driver_override",
        f"echo {NVME} > /sys/bus/pci/drivers/vfio-pci/unbind",
        f"echo {NVME} > /sys/bus/pci/drivers/nvme/bind",
    ]
    assert machine.log == []
    assert recorded(machine=machine)


def test_restore_without_a_record(machine):
    with pytest.raises(DeviceNotFound, match=r"nothing to restore.*has nvme"):
        restore(NVME, machine=machine)


def test_restore_of_what_somebody_else_bound_names_unbind(machine):
    machine.link(f"/sys/devices/pci0000:00/{NVME}/driver", "/sys/bus/pci/drivers/vfio-pci")
    with pytest.raises(Unsupported, match=f"pymmio unbind {NVME}"):
        restore(NVME, machine=machine)


def test_restore_with_a_damaged_record_names_unbind(machine):
    bind(NVME, machine=machine)
    (machine.root / "state" / f"{NVME}.json").write_text('{"address": 3}')
    with pytest.raises(Unsupported, match=f"is damaged.*pymmio unbind {NVME}"):
        restore(NVME, machine=machine)
    (change,) = recorded(machine=machine)
    assert change.error is not None
    unbind(NVME, machine=machine)
    assert machine.state() == ("nvme", "")
    assert recorded(machine=machine) == ()


@pytest.mark.parametrize("name", ["../../x", "..", "a/b", "", "a\nb"])
def test_a_record_with_a_driver_that_is_no_name_is_refused(machine, name):
    bind(NVME, machine=machine)
    path = machine.root / "state" / f"{NVME}.json"
    path.write_text(
        path.read_text().replace(
            '"former_driver": "nvme"', f'"former_driver": {name!a}'.replace("'", '"')
        )
    )
    with pytest.raises(Unsupported, match="is damaged"):
        restore(NVME, machine=machine)


def test_a_record_about_a_device_that_is_gone_is_dropped(machine):
    bind(NVME, machine=machine)
    machine.real(SYS).unlink()
    with pytest.raises(DeviceNotFound):
        restore(NVME, machine=machine)
    assert recorded(machine=machine) == ()


def test_a_record_about_another_device_is_dropped(machine):
    bind(NVME, machine=machine)
    machine.text(f"{SYS}/device", "0x5845\n")
    machine.log.clear()
    with pytest.raises(DeviceNotFound, match="another device"):
        restore(NVME, machine=machine)
    assert machine.log == []
    assert recorded(machine=machine) == ()


def test_a_third_driver_keeps_the_device(machine):
    bind(NVME, machine=machine)
    machine.add_driver("uio_pci_generic")
    machine.link(f"/sys/devices/pci0000:00/{NVME}/driver", "/sys/bus/pci/drivers/uio_pci_generic")
    result = restore(NVME, machine=machine)
    assert machine.state() == ("uio_pci_generic", "")
    assert "where it stays" in result.remarks[0]
    assert recorded(machine=machine) == ()


def test_restore_of_what_is_already_back_only_drops_the_record(machine):
    bind(NVME, machine=machine)
    machine.text(f"{SYS}/driver_override", "(null)\n")
    machine.link(f"/sys/devices/pci0000:00/{NVME}/driver", "/sys/bus/pci/drivers/nvme")
    machine.log.clear()
    restore(NVME, machine=machine)
    assert machine.log == []
    assert recorded(machine=machine) == ()


def test_restore_all_goes_on_after_a_failure(machine):
    machine.add_function(NIC, driver="e1000e", group=8)
    bind(NVME, machine=machine)
    bind(NIC, machine=machine)
    machine.drivers_that_refuse.add("nvme")
    results = {str(one.address): one.changes[0] for one in restore_all(machine=machine)}
    assert isinstance(results[NVME].error, Unsupported)
    assert results[NIC].error is None
    assert machine.driver(NIC) == "e1000e"
    assert [str(one.address) for one in recorded(machine=machine)] == [NVME]


def test_restore_without_root(machine):
    bind(NVME, machine=machine)
    machine.writable = False
    with pytest.raises(PermissionRefused, match=f"sudo pymmio restore {NVME}"):
        restore(NVME, machine=machine)


# --- users of VFIO ----------------------------------------------------------------------------


@pytest.mark.parametrize("give_back", [restore, unbind])
@pytest.mark.parametrize("node", ["/dev/vfio/7", "/dev/vfio/noiommu-7", "/dev/vfio/devices/vfio0"])
def test_a_device_that_a_process_has_open_is_not_taken_away(machine, give_back, node):
    bind(NVME, machine=machine)
    machine.text(f"{SYS}/vfio-dev/vfio0/dev", "511:0\n")
    machine.add_process(4711, "spdk", "/dev/null", node)
    machine.log.clear()
    with pytest.raises(DeviceBusy, match=r"process 4711 \(spdk\) has it"):
        give_back(NVME, machine=machine)
    assert machine.log == []


@pytest.mark.parametrize("give_back", [restore, unbind])
def test_a_device_that_this_program_has_open_is_not_taken_away(machine, give_back):
    bind(NVME, machine=machine)
    machine.add_process(os.getpid(), "python3", "/dev/vfio/7")
    with pytest.raises(DeviceBusy, match="this very program"):
        give_back(NVME, machine=machine)


def test_a_mapping_of_the_device_is_enough(machine):
    bind(NVME, machine=machine)
    machine.text(f"{SYS}/vfio-dev/vfio0/dev", "511:0\n")
    machine.add_process(
        os.getpid(), "python3", maps="7f00-7f01 rw-s 0 00:0f 9   /dev/vfio/devices/vfio0\n"
    )
    with pytest.raises(DeviceBusy, match="this very program"):
        restore(NVME, machine=machine)


def test_a_mapping_behind_a_group_is_found_by_asking_the_kernel(machine):
    bind(NVME, machine=machine)
    machine.busy_nodes.add("/dev/vfio/7")
    machine.add_process(
        os.getpid(), "python3", maps="7f00-7f01 rw-s 0 00:0f 9   anon_inode:[vfio-device]\n"
    )
    with pytest.raises(DeviceBusy, match="this very program"):
        restore(NVME, machine=machine)


def test_a_user_that_cannot_be_seen(machine):
    bind(NVME, machine=machine)
    machine.busy_nodes.add("/dev/vfio/7")
    with pytest.raises(DeviceBusy, match="a process that cannot be seen"):
        restore(NVME, machine=machine)


# --- unbind -----------------------------------------------------------------------------------


def test_unbind_lets_the_kernel_choose(machine):
    machine.text(f"{SYS}/driver_override", "vfio-pci\n")
    machine.link(f"/sys/devices/pci0000:00/{NVME}/driver", "/sys/bus/pci/drivers/vfio-pci")
    result = unbind(NVME, machine=machine)
    assert machine.state() == ("nvme", "")
    assert str(result.changes[0]) == f"{NVME}: vfio-pci -> nvme"


def test_unbind_of_a_device_that_no_driver_wants(machine):
    bind(EDU, machine=machine)
    result = unbind(EDU, machine=machine)
    assert machine.state(EDU) == (None, "")
    assert result.changes[0].driver is None
    assert recorded(machine=machine) == ()


def test_unbind_takes_nothing_from_other_drivers(machine):
    with pytest.raises(BadArgument, match="bound to nvme"):
        unbind(NVME, machine=machine)
    assert machine.log == []


def test_dry_run_of_unbind(machine):
    bind(NVME, machine=machine)
    machine.log.clear()
    steps = unbind(NVME, dry_run=True, machine=machine).steps
    assert [str(step) for step in steps] == [
        f"echo > {SYS}/driver_override",
        f"echo {NVME} > /sys/bus/pci/drivers/vfio-pci/unbind",
        f"echo {NVME} > /sys/bus/pci/drivers_probe",
    ]
    assert machine.log == []


@pytest.mark.parametrize(("number", "left"), [(4, "vfio-pci"), (5, "vfio-pci"), (6, "vfio-pci")])
def test_an_unbind_that_fails_leaves_the_device_with_a_driver(machine, number, left):
    bind(NVME, machine=machine)
    machine.fail[number] = errno.EIO
    with pytest.raises(Unsupported):
        unbind(NVME, machine=machine)
    assert machine.state() == (left, "vfio-pci")
    assert recorded(machine=machine)


@pytest.mark.parametrize("has_other_thread", [False, True])
def test_ctrl_c_waits_until_the_change_is_whole(machine, has_other_thread):
    over = threading.Event()
    if has_other_thread:  # which takes the signal that this one does not want
        threading.Thread(target=over.wait, args=(60,)).start()

    def write(path, text):
        os.kill(os.getpid(), signal.SIGINT)
        FakeMachine.write(machine, path, text)

    machine.write = write
    try:
        with pytest.raises(KeyboardInterrupt):
            bind(NVME, machine=machine)
    finally:
        over.set()
    assert len(machine.log) == 3
    assert machine.state() == ("vfio-pci", "vfio-pci")
