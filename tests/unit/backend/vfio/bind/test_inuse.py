"""What uses a device is found and named, down through every layer of block devices."""

from __future__ import annotations

import os

import pytest

from pymmio.backend.vfio.bind import bind
from pymmio.errors import DeviceBusy
from tests.unit.backend.vfio.bind.fake_machine import NVME

PLACE = f"/sys/devices/pci0000:00/{NVME}"
SYS = f"/sys/bus/pci/devices/{NVME}"


def refused(machine, *said: str, forced: bool = False) -> str:
    """Return why bind refuses; with ``forced`` nothing but force gets it through."""
    with pytest.raises(DeviceBusy) as caught:
        bind(NVME, machine=machine)
    message = str(caught.value)
    for part in said:
        assert part in message, message
    assert machine.log == []
    if forced:
        assert "--force" in message
        result = bind(NVME, force=True, machine=machine)
        assert machine.driver(NVME) == "vfio-pci"
        assert any("(overridden)" in remark for remark in result.remarks)
    else:
        assert "--force" not in message
        with pytest.raises(DeviceBusy):
            bind(NVME, force=True, machine=machine)
    return message


def test_a_disk_that_nobody_uses_is_no_obstacle(machine):
    machine.add_disk()
    bind(NVME, machine=machine)


def test_a_mounted_partition(machine):
    machine.add_disk()
    machine.mount("259:2", "/srv/my\\040data", "/dev/nvme0n1p2", "xfs")
    refused(
        machine,
        f"{NVME} (nvme) is in use: /dev/nvme0n1p2 (xfs) is mounted at /srv/my data",
        "First: umount '/srv/my data'",
    )


def test_a_mounted_disk_without_partitions(machine):
    machine.add_disk(partitions=0)
    machine.mount("259:0", "/mnt", "/dev/nvme0n1")
    refused(machine, "/dev/nvme0n1 (ext4) is mounted at /mnt", "umount /mnt")


def test_the_root_file_system(machine):
    machine.add_disk()
    machine.mount("259:1", "/", "/dev/root")
    assert "umount" not in refused(machine, "is mounted at /", "no way to bind it")


def test_all_mounts_are_named(machine):
    machine.add_disk()
    machine.mount("259:1", "/a", "/dev/nvme0n1p1")
    machine.mount("259:1", "/b", "/dev/nvme0n1p1")
    refused(machine, "mounted at /a; ", "mounted at /b", "umount /a; umount /b")


def test_a_mount_of_another_device_is_no_obstacle(machine):
    machine.add_disk()
    machine.mount("8:1", "/mnt", "/dev/sda1")
    bind(NVME, machine=machine)


def test_btrfs_which_has_device_numbers_of_its_own(machine):
    machine.add_disk()
    machine.mount("0:42", "/mnt", "/dev/nvme0n1p1", "btrfs")
    refused(machine, "/dev/nvme0n1p1 (btrfs) is mounted at /mnt")


def test_a_second_disk_of_btrfs(machine):
    machine.add_disk()
    machine.mount("0:42", "/mnt", "/dev/sda1", "btrfs")
    machine.text("/sys/fs/btrfs/0a0b/devices/nvme0n1p2/size", "1\n")
    refused(machine, "/dev/nvme0n1p2 holds a file system (btrfs) that is in use")


def test_a_mount_in_another_namespace(machine):
    machine.add_disk()
    machine.add_process(99, "container")
    machine.link("/proc/99/ns/mnt", "mnt:[2]")
    machine.link("/proc/99/root", "/")
    machine.text("/proc/99/mountinfo", "1 1 259:1 / /data rw - ext4 /dev/nvme0n1p1 rw\n")
    refused(
        machine,
        "is mounted at /data (as process 99 sees it)",
        "First: nsenter -t 99 -m umount /data",
    )


def test_a_mount_outside_of_a_changed_root(machine):
    machine.add_disk()
    machine.add_process(1, "init")
    machine.link("/proc/1/ns/mnt", "mnt:[1]")
    machine.link("/proc/1/root", "/host")
    machine.text("/proc/1/mountinfo", "1 1 259:1 / /data rw - ext4 /dev/nvme0n1p1 rw\n")
    refused(machine, "is mounted at /data (as process 1 sees it)")


def test_a_file_system_that_was_detached_but_is_in_use(machine):
    machine.add_disk()
    machine.text("/sys/fs/ext4/nvme0n1p1/session_write_kbytes", "0\n")
    refused(machine, "holds a file system (ext4) that is in use, with a mount that cannot be seen")


def test_swap(machine):
    machine.add_disk()
    with machine.real("/proc/swaps").open("a") as file:
        file.write("/dev/nvme0n1p2                          partition\t1048572\t0\t-2\n")
    refused(machine, "/dev/nvme0n1p2 is swap space", "First: swapoff /dev/nvme0n1p2")


def test_swap_on_a_logical_volume(machine):
    machine.add_disk()
    machine.add_holder("dm-0", "253:0", "nvme0n1p1", dm__name="vg-swap", dm__uuid="LVM-abc")
    machine.node_numbers["/dev/mapper/vg-swap"] = "b253:0"
    with machine.real("/proc/swaps").open("a") as file:
        file.write("/dev/mapper/vg-swap  partition\t1048572\t0\t-2\n")
    refused(
        machine,
        "/dev/dm-0 (LVM volume vg-swap) on /dev/nvme0n1p1 is swap space",
        "First: swapoff /dev/dm-0; lvchange -an /dev/mapper/vg-swap",
    )


@pytest.mark.parametrize(
    ("uuid", "what", "remedy"),
    [
        ("LVM-x", "LVM volume top", "lvchange -an /dev/mapper/top"),
        ("CRYPT-LUKS2-x", "encrypted device top", "cryptsetup close top"),
        ("mpath-3600", "multipath device top", "multipath -f top"),
        ("", "device mapper top", "dmsetup remove top"),
    ],
)
def test_device_mapper(machine, uuid, what, remedy):
    machine.add_disk()
    machine.add_holder("dm-3", "253:3", "nvme0n1p1", dm__name="top", dm__uuid=uuid)
    refused(machine, f"/dev/nvme0n1p1 is part of /dev/dm-3 ({what})", f"First: {remedy}")


def test_a_raid(machine):
    machine.add_disk()
    machine.add_holder("md127", "9:127", "nvme0n1p1", md__level="raid1")
    refused(machine, "is part of /dev/md127 (raid1 array)", "mdadm --stop /dev/md127")


def test_bcache(machine):
    machine.add_disk()
    machine.add_holder("bcache0", "252:0", "nvme0n1", bcache__state="clean")
    refused(machine, "/dev/nvme0n1 is part of /dev/bcache0 (bcache)")


def test_a_holder_of_unknown_kind(machine):
    machine.add_disk()
    machine.add_holder("drbd1", "147:1", "nvme0n1")
    refused(machine, "/dev/nvme0n1 is part of /dev/drbd1 (its holder)")


def test_a_loop_device(machine):
    machine.add_disk()
    place = machine.add_node("/sys/devices/virtual/block/loop4", "block", "7:4")
    machine.text(f"{place}/loop/backing_file", "/dev/nvme0n1p2\n")
    refused(machine, "/dev/loop4 (loop device of /dev/nvme0n1p2)", "losetup -d /dev/loop4")


def test_a_loop_device_of_something_else(machine):
    machine.add_disk()
    place = machine.add_node("/sys/devices/virtual/block/loop4", "block", "7:4")
    machine.text(f"{place}/loop/backing_file", "/home/disk.img\n")
    machine.add_node("/sys/devices/virtual/block/loop5", "block", "7:5")
    bind(NVME, machine=machine)


def test_a_whole_tower_is_followed_and_taken_apart_from_the_top(machine):
    """RAID on a partition, encrypted, in a volume group, behind a loop device, mounted."""
    machine.add_disk()
    machine.add_holder("md0", "9:0", "nvme0n1p1", md__level="raid1")
    machine.add_holder("dm-0", "253:0", "md0", dm__name="luks", dm__uuid="CRYPT-LUKS2-1")
    machine.add_holder("dm-1", "253:1", "dm-0", dm__name="vg-home", dm__uuid="LVM-2")
    loop = machine.add_node("/sys/devices/virtual/block/loop0", "block", "7:0")
    machine.text(f"{loop}/loop/backing_file", "/dev/dm-1\n")
    part = machine.add_node(f"{loop}/loop0p1", "block", "259:9")
    machine.text(f"{part}/partition", "1\n")
    machine.mount("259:9", "/home", "/dev/loop0p1")
    message = refused(
        machine,
        "/dev/loop0p1 on /dev/dm-1 on /dev/dm-0 on /dev/md0 on /dev/nvme0n1p1 (ext4) is "
        "mounted at /home",
    )
    first = message.partition("First: ")[2]
    assert first == (
        "umount /home; losetup -d /dev/loop0; lvchange -an /dev/mapper/vg-home; "
        "cryptsetup close luks; mdadm --stop /dev/md0"
    )


def test_two_layers_that_hold_each_other_end(machine):
    machine.add_disk()
    machine.add_holder("dm-0", "253:0", "nvme0n1")
    machine.add_holder("dm-1", "253:1", "dm-0")
    machine.add_holder("dm-0", "253:0", "dm-1")
    refused(machine, "/dev/dm-0", "/dev/dm-1")


def test_a_disk_of_an_nvme_subsystem_with_several_ways(machine):
    machine.add_node(f"{PLACE}/nvme/nvme0", "nvme", "240:0")
    subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    machine.add_node(f"{subsystem}/nvme0n1", "block", "259:0")
    machine.link(f"{subsystem}/nvme0", f"{PLACE}/nvme/nvme0")
    machine.link("/sys/class/nvme-subsystem/nvme-subsys0", subsystem)
    machine.mount("259:0", "/mnt", "/dev/nvme0n1")
    refused(machine, "/dev/nvme0n1 (ext4) is mounted at /mnt")


def test_a_disk_that_something_claims_which_sysfs_does_not_name(machine):
    machine.add_disk()
    machine.busy_nodes.add("/dev/nvme0n1")
    refused(machine, "/dev/nvme0n1 is claimed by something in the kernel")


def test_the_disks_are_not_opened_in_a_dry_run(machine):
    machine.add_disk()
    machine.busy_nodes.add("/dev/nvme0n1")
    assert bind(NVME, dry_run=True, machine=machine).steps


@pytest.mark.parametrize("node", ["/dev/nvme0n1", "/dev/nvme0n1p1", "/dev/nvme0"])
def test_an_open_node(machine, node):
    machine.add_disk()
    machine.add_process(4711, "smartd", "/dev/null", node)
    refused(machine, f"{node} is open in process 4711 (smartd)", forced=True)


def test_an_open_node_by_another_name(machine):
    machine.add_disk()
    machine.node_numbers["/dev/my-disk"] = "b259:0"
    machine.add_process(4711, "dd", "/dev/my-disk")
    refused(machine, "/dev/nvme0n1 is open in process 4711 (dd)", forced=True)


def test_an_open_node_of_a_layer_above(machine):
    machine.add_disk()
    machine.add_holder("dm-0", "253:0", "nvme0n1")
    machine.add_process(4711, "dd", "/dev/dm-0")
    refused(machine, "/dev/dm-0 is open in process 4711 (dd)")


def test_an_open_node_of_this_program(machine):
    machine.add_disk()
    machine.add_process(os.getpid(), "python3", "/dev/nvme0n1")
    refused(machine, "close it in this program", forced=True)


def test_a_bar_that_somebody_maps(machine):
    machine.text(f"{PLACE}/resource0", "")
    machine.add_process(12, "bringup", f"{PLACE}/resource0")
    refused(machine, "resource0 is open in process 12 (bringup)", forced=True)


def test_one_use_that_force_does_not_override_is_enough(machine):
    machine.add_disk()
    machine.add_process(4711, "dd", "/dev/nvme0n1")
    machine.mount("259:1", "/mnt", "/dev/nvme0n1p1")
    refused(machine, "mounted at /mnt", "process 4711")


def test_processes_that_cannot_be_looked_into_are_counted(machine, monkeypatch):
    machine.add_process(5, "secret")
    machine.add_process(6, "secret")
    listing = type(machine).list_directory

    def hidden(self, path):
        if path.endswith("/fd"):
            raise PermissionError(13, "Permission denied")
        return listing(self, path)

    monkeypatch.setattr(type(machine), "list_directory", hidden)
    (remark,) = bind(NVME, dry_run=True, machine=machine).remarks
    assert remark.startswith("2 processes of others")


def interface(machine, name: str, flags: int) -> str:
    place = f"{PLACE}/net/{name}"
    machine.text(f"{place}/ifindex", "2\n")
    machine.text(f"{place}/flags", f"{flags:#x}\n")
    return place


def test_an_interface_that_is_up(machine):
    interface(machine, "eth0", 0x1003)
    refused(machine, "network interface eth0 is up", "ip link set eth0 down", forced=True)


def test_an_interface_that_is_part_of_another(machine):
    place = interface(machine, "eth0", 0x1003)
    machine.link(f"{place}/master", "/sys/devices/virtual/net/bond0")
    refused(machine, "eth0 is up, and part of bond0", forced=True)


def test_an_interface_that_is_down(machine):
    interface(machine, "eth0", 0x1002)
    bind(NVME, machine=machine)


def test_the_boot_display(machine):
    machine.text(f"{SYS}/boot_vga", "1\n")
    refused(machine, "the display that the machine booted with", forced=True)


def test_a_second_display(machine):
    machine.text(f"{SYS}/boot_vga", "0\n")
    bind(NVME, machine=machine)


def test_the_console(machine):
    machine.add_node(f"{PLACE}/tty/ttyS4", "tty", "4:68")
    machine.text("/proc/consoles", "tty0  -WU (EC p  )    4:7\nttyS4  -W- (E  p a)    4:68\n")
    refused(machine, "/dev/ttyS4 is the console of the kernel")


def test_memory_that_the_kernel_uses_as_its_own(machine):
    place = machine.add_node(f"{PLACE}/ndbus0/dax0.0", "dax", "250:0")
    machine.real("/sys/bus/dax/drivers/kmem").mkdir(parents=True)
    machine.link(f"{place}/driver", "/sys/bus/dax/drivers/kmem")
    refused(machine, "/dev/dax0.0 is used as system RAM", "daxctl")


def test_virtual_functions(machine):
    machine.text(f"{SYS}/sriov_numvfs", "4\n")
    refused(machine, "it has 4 virtual functions", "sriov_numvfs")


def test_no_virtual_functions(machine):
    machine.text(f"{SYS}/sriov_numvfs", "0\n")
    bind(NVME, machine=machine)
