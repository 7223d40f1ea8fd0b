"""Binding on a real kernel: what is refused while in use, what comes back after every crash."""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pymmio
from pymmio.backend import vfio
from pymmio.backend.vfio.bind import Machine, bind, recorded, restore, restore_all, unbind
from pymmio.errors import (
    BadArgument,
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    Unsupported,
)
from pymmio.uri import DeviceUri
from tests.guest.case import case
from tests.guest.cases.vfio_common import holding, in_child, refuses
from tests.guest.inside import (
    EDU,
    NVME,
    Function,
    find_function,
    find_functions,
    give_back,
    wait_until,
)

DISK = "/dev/nvme0n1"
MAPPED = "pymmio-test"
LEDGER = Path("/run/pymmio")
USER = 65534
EDU_ID = 0x010000ED  # QEMU docs/specs/edu.rst


@contextmanager
def nvme() -> Iterator[Function]:
    """Give the NVMe function with its kernel driver and its disk; leave it so."""
    function = find_function(NVME)
    if function.driver != "nvme":
        give_back(function)
    wait_until(Path(DISK).exists, 10.0, f"{DISK} to appear")
    try:
        yield function
    finally:
        if function.driver == "vfio-pci":
            give_back(function)
        (LEDGER / f"{function.address}.json").unlink(missing_ok=True)


@contextmanager
def unbound(function: Function) -> Iterator[None]:
    """Leave a function without a driver and without a record, whatever happens."""
    try:
        yield
    finally:
        if function.driver is not None:
            give_back(function)
        (LEDGER / f"{function.address}.json").unlink(missing_ok=True)


def run(*command: str, data: str = "") -> str:
    """Run a program of the host's system; raise with what it said if it fails."""
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def override(function: Function) -> str:
    return (function.path / "driver_override").read_text().strip().replace("(null)", "")


def state(function: Function) -> tuple[str | None, str]:
    return function.driver, override(function)


def busy(function: Function, *said: str, force: bool = False) -> str:
    """Return the refusal; nothing has changed, and force does not help unless ``force``."""
    before = state(function)
    message = ""
    for forced in (False,) if force else (False, True):
        try:
            bind(function.address, force=forced)
        except DeviceBusy as error:
            message = message or str(error)
        else:
            raise AssertionError(f"bound with force={forced}")
        assert state(function) == before
    missing = [part for part in said if part not in message]
    assert not missing, f"{missing} not in: {message}"
    assert not recorded()
    return message


@contextmanager
def mounted(device: str, point: str = "/tmp/mounted") -> Iterator[str]:
    run("mkfs.ext4", "-q", "-F", device)
    Path(point).mkdir(exist_ok=True)
    run("mount", "-t", "ext4", device, point)
    try:
        yield point
    finally:
        run("umount", point)


@contextmanager
def mapped(device: str) -> Iterator[str]:
    """Put a linear device of the device mapper on ``device``; return its node's path."""
    table = f"0 65536 linear {device} 0\n"
    run("dmsetup", "create", MAPPED, "--noudevsync", "--noudevrules", data=table)
    run("dmsetup", "mknodes", MAPPED)
    try:
        yield f"/dev/mapper/{MAPPED}"
    finally:
        run("dmsetup", "remove", "--noudevsync", "--noudevrules", MAPPED)


@contextmanager
def looped(device: str) -> Iterator[str]:
    node = run("losetup", "--find", "--show", device).strip()
    try:
        yield node
    finally:
        run("losetup", "--detach", node)


# --- there and back -------------------------------------------------------------------------


def case_nvme_is_bound_used_and_restored() -> None:
    with nvme() as function:
        result = bind(function.address)
        assert state(function) == ("vfio-pci", "vfio-pci")
        assert not Path(DISK).exists()
        kept = json.loads((LEDGER / f"{function.address}.json").read_text())
        assert kept["former_driver"] == "nvme"
        assert result.node == f"/dev/vfio/{function.iommu_group}"
        with pymmio.open_device(f"vfio:{function.address}") as device:
            assert device.region(0).read32(0x08) >> 16 == 1  # VS, major version
        restore(function.address)
        assert state(function) == ("nvme", "")
        wait_until(Path(DISK).exists, 10.0, f"{DISK} to come back")
        assert not recorded()


def case_a_dry_run_prints_what_a_shell_can_do() -> None:
    with nvme() as function:
        before = sorted(os.listdir(LEDGER)) if LEDGER.exists() else None
        steps = bind(function.address, dry_run=True).steps
        assert state(function) == ("nvme", "")
        assert (sorted(os.listdir(LEDGER)) if LEDGER.exists() else None) == before
        for step in steps:
            assert os.system(str(step)) == 0, step
        assert state(function) == ("vfio-pci", "vfio-pci")


def case_the_commands_do_the_same() -> None:
    with nvme() as function:
        python, cli = sys.executable, ("-m", "pymmio.cli")
        said = run(python, *cli, "bind", function.address, "--dry-run")
        assert f"echo {function.address} > /sys/bus/pci/drivers/nvme/unbind" in said
        assert state(function) == ("nvme", "")
        said = run(python, *cli, "bind", function.address)
        assert said == f"{function.address}: nvme -> vfio-pci\n"
        assert function.address in run(python, *cli, "restore")
        said = run(python, *cli, "restore", "--all")
        assert said == f"{function.address}: vfio-pci -> nvme\n"


def case_edu_has_no_driver_before_and_after() -> None:
    edu = find_function(EDU)
    assert edu.driver is None
    bind(edu.address)
    with pymmio.open_device(f"vfio:{edu.address}") as device:
        assert device.region(0).read32(0) == EDU_ID
    restore(edu.address)
    assert state(edu) == (None, "")


def case_unbind_lets_the_kernel_choose() -> None:
    with nvme() as function:
        with refuses(BadArgument, "bound to nvme"):
            unbind(function.address)
        bind(function.address)
        (LEDGER / f"{function.address}.json").unlink()
        with refuses(Unsupported, f"pymmio unbind {function.address}"):
            restore(function.address)
        unbind(function.address)
        assert state(function) == ("nvme", "")


def case_a_former_driver_override_comes_back() -> None:
    with nvme() as function:
        (function.path / "driver_override").write_text("nvme\n")
        bind(function.address)
        restore(function.address)
        assert state(function) == ("nvme", "nvme")
        (function.path / "driver_override").write_text("\n")


def case_an_override_that_keeps_the_former_driver_away_comes_back() -> None:
    with nvme() as function:
        (function.path / "driver_override").write_text("vfio-pci\n")
        bind(function.address)
        restore(function.address)
        assert state(function) == ("nvme", "vfio-pci")
        (function.path / "driver_override").write_text("\n")


# --- in use ---------------------------------------------------------------------------------


def case_a_mounted_file_system() -> None:
    with nvme() as function, mounted(DISK) as point:
        Path(point, "file").write_text("here")
        busy(
            function,
            f"{function.address} (nvme) is in use",
            f"{DISK} (ext4) is mounted at {point}",
            f"First: umount {point}",
        )
        assert Path(point, "file").read_text() == "here"
        with refuses(DeviceBusy, "is mounted at"):
            bind(function.address, dry_run=True)


def case_a_file_system_mounted_in_another_namespace() -> None:
    def unshare() -> None:
        _unshare_mounts()
        run("mount", "--make-rprivate", "/proc")
        Path("/tmp/elsewhere").mkdir(exist_ok=True)
        run("mount", "-t", "ext4", DISK, "/tmp/elsewhere")

    with nvme() as function:
        run("mkfs.ext4", "-q", "-F", DISK)
        with holding(unshare) as pid:
            assert "/tmp/elsewhere" not in Path("/proc/self/mountinfo").read_text()
            busy(function, f"is mounted at /tmp/elsewhere (as process {pid} sees it)")
        wait_until(lambda: not Path("/sys/fs/ext4/nvme0n1").exists(), 10.0, "the unmount")
        bind(function.address)


def case_a_file_system_that_was_detached_but_is_in_use() -> None:
    with nvme() as function:
        run("mkfs.ext4", "-q", "-F", DISK)
        Path("/tmp/detached").mkdir(exist_ok=True)
        run("mount", "-t", "ext4", DISK, "/tmp/detached")
        with open("/tmp/detached/file", "w"):
            run("umount", "--lazy", "/tmp/detached")
            busy(function, "holds a file system (ext4) that is in use")
        wait_until(lambda: not Path("/sys/fs/ext4/nvme0n1").exists(), 10.0, "the unmount")


def case_swap() -> None:
    with nvme() as function:
        run("mkswap", DISK)
        run("swapon", DISK)
        try:
            busy(function, f"{DISK} is swap space", f"First: swapoff {DISK}")
        finally:
            run("swapoff", DISK)


def case_device_mapper_with_nothing_on_it() -> None:
    with nvme() as function, mapped(DISK):
        busy(
            function,
            f"{DISK} is part of /dev/dm-0 (device mapper {MAPPED})",
            f"dmsetup remove {MAPPED}",
        )


def case_a_file_system_on_the_device_mapper() -> None:
    with nvme() as function, mapped(DISK) as node, mounted(node) as point:
        message = busy(
            function,
            f"/dev/dm-0 (device mapper {MAPPED}) on {DISK} (ext4) is mounted at {point}",
        )
        assert message.endswith(f"First: umount {point}; dmsetup remove {MAPPED}")


def case_swap_on_the_device_mapper() -> None:
    with nvme() as function, mapped(DISK) as node:
        run("mkswap", node)
        run("swapon", node)
        try:
            busy(function, f"/dev/dm-0 (device mapper {MAPPED}) on {DISK} is swap space")
        finally:
            run("swapoff", node)


def case_a_loop_device() -> None:
    with nvme() as function, looped(DISK) as node:
        busy(function, f"{DISK} is part of {node} (loop device of {DISK})", f"losetup -d {node}")


def case_a_file_system_on_loop_on_the_device_mapper() -> None:
    with nvme() as function, mapped(DISK) as top, looped(top) as node, mounted(node) as point:
        busy(
            function,
            f"{node} (loop device of ",
            f" on /dev/dm-0 on {DISK} (ext4) is mounted at {point}",
            f"First: umount {point}; losetup -d {node}; dmsetup remove {MAPPED}",
        )


def case_a_mounted_partition() -> None:
    with nvme() as function:
        _write_partition_table()
        try:
            wait_until(Path(f"{DISK}p1").exists, 10.0, "the partition")
            with mounted(f"{DISK}p1") as point:
                busy(function, f"{DISK}p1 (ext4) is mounted at {point}")
        finally:
            Path(DISK).write_bytes(bytes(512))
            _reread_partitions()


def case_an_open_block_device_names_the_process() -> None:
    with nvme() as function, holding(lambda: open(DISK, "rb")) as pid:
        busy(function, f"{DISK} is open in process {pid} (", "--force", force=True)
        remarks = bind(function.address, force=True).remarks
        assert any(f"process {pid}" in remark for remark in remarks)
        assert function.driver == "vfio-pci"


def case_an_open_block_device_by_another_name() -> None:
    other = "/tmp/other-name"
    with nvme() as function:
        os.mknod(other, 0o60600, os.stat(DISK).st_rdev)
        try:
            with open(DISK, "rb"):
                busy(function, f"{DISK} is open in process {os.getpid()} (", force=True)
        finally:
            os.unlink(other)


def case_an_open_controller_node() -> None:
    with nvme() as function, open("/dev/nvme0", "rb"):
        busy(function, f"/dev/nvme0 is open in process {os.getpid()} (", force=True)


def case_a_disk_claimed_by_something_unnamed() -> None:
    class Blind(Machine):
        """Sees no process at all, as if the one that claims were not to be seen."""

        def listed(self, path: str) -> list[str]:
            return [] if path == "/proc" else super().listed(path)

    with nvme() as function:
        fd = os.open(DISK, os.O_RDONLY | os.O_EXCL)
        try:
            with refuses(DeviceBusy, f"{DISK} is claimed by something in the kernel"):
                bind(function.address, machine=Blind())
            assert function.driver == "nvme"
        finally:
            os.close(fd)


@case(params=("group", "cdev"))
def case_a_device_that_is_open_through_vfio_is_not_taken_away(interface: str) -> None:
    with nvme() as function:
        bind(function.address)
        uri = f"vfio:{function.address}?interface={interface}"
        with holding(lambda: pymmio.open_device(uri)) as pid:
            for take in (restore, unbind):
                with refuses(DeviceBusy, f"process {pid} ("):
                    take(function.address)
        assert function.driver == "vfio-pci"
        with pymmio.open_device(uri) as device:
            device.region(0).read32(0)
            with refuses(DeviceBusy, "this very program"):
                restore(function.address)
        restore(function.address)
        assert function.driver == "nvme"


@case(params=("group", "cdev"))
def case_a_mapping_alone_is_not_taken_away(interface: str) -> None:
    edu = find_function(EDU)
    bind(edu.address)
    handle = vfio.open(DeviceUri.parse(f"vfio:{edu.address}?interface={interface}"))
    source = handle.open_region(0).mmap_source()
    assert source is not None
    mapping = mmap.mmap(source[0], 4096, offset=source[1])
    with refuses(DeviceBusy):
        handle.close()
    try:
        with refuses(DeviceBusy, "this very program"):
            restore(edu.address)
    finally:
        mapping.close()
    restore(edu.address)
    assert state(edu) == (None, "")


@case(guest="network")
def case_a_network_interface_that_is_up() -> None:
    nic = find_function((0x1AF4, 0x1041))
    driver, (interface,) = nic.driver, nic.path.glob("virtio*/net/*")
    name = interface.name
    assert driver == "virtio-pci"
    run("busybox", "ip", "link", "set", name, "up")
    message = busy(nic, f"network interface {name} is up", force=True)
    assert message.endswith(
        f"First: ip link set {name} down. --force (force=True) takes it away from them all the same"
    )
    run("busybox", "ip", "link", "set", name, "down")
    bind(nic.address)
    assert state(nic) == ("vfio-pci", "vfio-pci")
    restore(nic.address)
    assert state(nic) == (driver, "")
    wait_until(lambda: list(nic.path.glob("virtio*/net/*")), 10.0, "the interface")


# --- rights, absence ------------------------------------------------------------------------


def case_a_user_without_rights() -> None:
    def as_user(address: str) -> None:
        os.environ["XDG_STATE_HOME"] = "/tmp/user-state"
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)
        with refuses(PermissionRefused, f"sudo pymmio bind {address}"):
            bind(address)
        result = bind(address, dry_run=True)
        assert len(result.steps) == 3
        assert "could not be looked into" in result.remarks[0]
        assert not Path("/tmp/user-state").exists()

    with nvme() as function:
        in_child(lambda: as_user(function.address))
        assert state(function) == ("nvme", "")


def case_a_read_only_sysfs() -> None:
    with nvme() as function:
        run("mount", "-o", "remount,ro,bind", "/sys")
        try:
            with refuses(PermissionRefused, "mounted read-only"):
                bind(function.address)
        finally:
            run("mount", "-o", "remount,rw,bind", "/sys")


def case_a_device_that_vanishes_and_one_that_comes_back() -> None:
    edu = find_function(EDU)
    bind(edu.address)
    (edu.path / "remove").write_text("1")
    with refuses(DeviceNotFound):
        restore(edu.address)
    assert not recorded()
    with refuses(DeviceNotFound):
        bind(edu.address)
    Path("/sys/bus/pci/rescan").write_text("1")
    assert state(find_function(EDU)) == (None, "")


# --- crashes, two programs, failures ----------------------------------------------------------


class Dying(Machine):
    """Is killed right before, or right after, its write number ``number``."""

    def __init__(self, number: int, *, after: bool) -> None:
        super().__init__()
        self.number, self.after = number, after

    def write(self, path: str, text: str) -> None:
        self.number -= 1
        if self.number == 0 and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(path, text)
        if self.number == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _killed(action: Callable[[], object]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


@case(timeout_s=60)
def case_restore_after_sigkill_in_the_middle_of_bind() -> None:
    with nvme() as function:
        seen = set()
        for number in (1, 2, 3):
            for after in (False, True):
                machine = Dying(number, after=after)
                _killed(lambda machine=machine: bind(function.address, machine=machine))
                seen.add(state(function))
                assert recorded()
                restore(function.address)
                assert state(function) == ("nvme", ""), (number, after)
                assert not recorded()
        assert seen == {
            ("nvme", ""),
            ("nvme", "vfio-pci"),
            (None, "vfio-pci"),
            ("vfio-pci", "vfio-pci"),
        }


@case(timeout_s=60)
def case_restore_after_sigkill_in_the_middle_of_restore() -> None:
    with nvme() as function:
        for number in (1, 2, 3):
            bind(function.address)
            machine = Dying(number, after=False)
            _killed(lambda machine=machine: restore(function.address, machine=machine))
            assert [change.former for change in recorded()] == ["nvme"]
            restore_all()
            assert state(function) == ("nvme", "")


def case_bind_again_after_sigkill_remembers_the_real_driver() -> None:
    with nvme() as function:
        _killed(lambda: bind(function.address, machine=Dying(3, after=False)))
        assert state(function) == (None, "vfio-pci")
        bind(function.address)
        restore(function.address)
        assert state(function) == ("nvme", "")


def case_each_step_that_fails_is_undone() -> None:
    class Failing(Machine):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def write(self, path: str, text: str) -> None:
            self.number -= 1
            if self.number == 0:
                super().write(path, "no such thing")  # the kernel's own error
            else:
                super().write(path, text)

    with nvme() as function:
        for number in (2, 3):
            with refuses(Unsupported, "failed"):
                bind(function.address, machine=Failing(number))
            assert state(function) == ("nvme", "")
            assert not recorded()


def case_a_probe_that_binds_nothing_is_noticed() -> None:
    class Elsewhere(Machine):
        """Asks for a driver that does not exist, as a typing error would."""

        def write(self, path: str, text: str) -> None:
            super().write(path, "no-such-driver" if text == "vfio-pci" else text)

    with nvme() as function:
        with refuses(Unsupported, "reported no error, and yet it has no driver"):
            bind(function.address, machine=Elsewhere())
        assert state(function) == ("nvme", "")
        assert not recorded()


@case(timeout_s=60)
def case_two_programs_at_once() -> None:
    with nvme() as function:
        for _ in range(3):
            statuses = _race([lambda: bind(function.address)] * 3)
            assert statuses == [0, 0, 0]
            assert state(function) == ("vfio-pci", "vfio-pci")
            assert [change.former for change in recorded()] == ["nvme"]
            statuses = _race([lambda: restore(function.address)] * 3)
            assert sorted(statuses) == [0, 4, 4], statuses  # the others find nothing to restore
            assert state(function) == ("nvme", "")


def _race(actions: list[Callable[[], object]]) -> list[int]:
    """Run actions in processes that start together; 4 stands for DeviceNotFound."""
    reading, writing = os.pipe()
    pids = []
    for action in actions:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(writing)
                os.read(reading, 1)  # returns when the parent closes it
                action()
                status = 0
            except DeviceNotFound:
                status = 4
            except BaseException as error:
                print(f"{type(error).__name__}: {error}")
            finally:
                os._exit(status)
        pids.append(pid)
    os.close(reading)
    os.close(writing)
    deadline = monotonic() + 30.0
    statuses = []
    for pid in pids:
        pidfd = os.pidfd_open(pid)
        assert select.select([pidfd], [], [], max(0.0, deadline - monotonic()))[0], "it hangs"
        os.close(pidfd)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return statuses


# --- groups -----------------------------------------------------------------------------------


@case(guest="groups")
def case_other_members_of_a_group_are_named() -> None:
    edu = find_function(EDU)
    with nvme() as disk:
        with refuses(DeviceBusy, f"{disk.address} (nvme)", f"pymmio bind --group {edu.address}"):
            bind(edu.address)
        assert state(edu) == (None, "")
        bind(disk.address)  # edu has no driver: it is not in the way
        with pymmio.open_device(f"vfio:{disk.address}"):
            pass
        restore(disk.address)


@case(guest="groups", params=("group", "cdev"))
def case_a_whole_group_is_bound_used_and_restored(interface: str) -> None:
    edu = find_function(EDU)
    with nvme() as disk, unbound(edu):
        result = bind(edu.address, group=True)
        assert [str(change.address) for change in result.changes] == [edu.address, disk.address]
        with pymmio.open_device(f"vfio:{edu.address}?interface={interface}") as device:
            assert device.region(0).read32(0) == EDU_ID
            with refuses(DeviceBusy, "this very program"):
                restore(disk.address)  # the group is what is held
        restore_all()
        assert state(edu) == (None, "")
        assert state(disk) == ("nvme", "")


@case(guest="groups")
def case_a_group_with_a_member_in_use_is_left_alone() -> None:
    edu = find_function(EDU)
    with nvme() as disk, unbound(edu), mounted(DISK) as point:
        with refuses(DeviceBusy, f"is mounted at {point}"):
            bind(edu.address, group=True)
        assert state(edu) == (None, "")
        assert state(disk) == ("nvme", "")
        assert not recorded()


@case(guest="groups")
def case_a_root_port_is_a_bridge() -> None:
    (port,) = find_functions((0x1B36, 0x000C))
    with refuses(Unsupported, "is a bridge"):
        bind(port.address)
    assert port.driver == "pcieport"


@case(guest="no-iommu")
def case_without_an_iommu_nothing_is_touched() -> None:
    edu = find_function(EDU)
    with refuses(Unsupported, "this kernel uses no IOMMU"):
        bind(edu.address)
    assert state(edu) == (None, "")


# --- helpers ------------------------------------------------------------------------------------


def _unshare_mounts() -> None:
    """Get a mount namespace of our own (os.unshare comes with Python 3.12)."""
    import ctypes

    clone_newns = 0x0002_0000
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(clone_newns) == 0, os.strerror(ctypes.get_errno())


def _write_partition_table() -> None:
    """Write an MBR with one Linux partition: 128 MiB from block 2048."""
    table = bytearray(512)
    table[446 + 4] = 0x83
    table[446 + 8 : 446 + 12] = (2048).to_bytes(4, "little")
    table[446 + 12 : 446 + 16] = (262144).to_bytes(4, "little")
    table[510:512] = b"\x55\xaa"
    Path(DISK).write_bytes(table)
    _reread_partitions()


def _reread_partitions() -> None:
    import fcntl

    blkrrpart = 0x125F  # include/uapi/linux/fs.h
    fd = os.open(DISK, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, blkrrpart)
    finally:
        os.close(fd)
