"""What the doctor says, and what then really works."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymmio
from pymmio.backend.vfio.bind import bind, restore
from pymmio.doctor import Report, State, check, examine
from pymmio.errors import (
    BudgetExceeded,
    DeviceBusy,
    PermissionRefused,
    Unsupported,
)
from tests.guest.case import case
from tests.guest.cases.vfio_common import given_to, holding, in_child, nodes_of, refuses
from tests.guest.inside import EDU, NVME, Function, bound_to_vfio, find_function
from tests.guest.interfaces import by_interface, uri_of

USER = 65534
EDU_ID = 0x010000ED  # QEMU docs/specs/edu.rst
UNSAFE = {
    "group": Path("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"),
    "cdev": Path("/sys/module/iommufd/parameters/allow_unsafe_interrupts"),
}


def become_user() -> None:
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)


def about(function: Function) -> tuple[State, str, str]:
    """Return state, what was seen and the next step of a function's own finding."""
    purpose = f"vfio:{function.address}"
    report = check(purpose)
    (finding,) = report.needed_for(purpose) or report.about("devices")
    return finding.state, finding.seen, finding.next_step


def is_ready(function: Function) -> bool:
    return check(f"vfio:{function.address}").is_ready


def opens(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        assert device.region(0).read32(0) == EDU_ID
        device.dma.alloc(4096)


def as_root(function: Function) -> None:
    """Check that root can; a user may not be able to read modules that were not loaded yet."""
    assert is_ready(function)
    opens(f"vfio:{function.address}")


def name_of(report: Report, topic: str, name: str) -> str:
    (finding,) = [f for f in report if (f.topic, f.name) == (topic, name)]
    return f"{finding.state}: {finding.seen}"


@contextmanager
def unsafe_interrupts_refused(*interfaces: str) -> Iterator[None]:
    before = {path: path.read_text() for path in UNSAFE.values()}
    try:
        for interface in interfaces:
            UNSAFE[interface].write_text("N")
        yield
    finally:
        for path, value in before.items():
            path.write_text(value)


@case(timeout_s=60, seconds=4, guest=("default", "virtio-iommu", "groups", "no-iommu"))
def case_no_probe_fails_for_root_and_for_a_user() -> None:
    def look() -> None:
        report = examine()
        for finding in report:
            print(f"{finding.state:8} {finding.topic:10} {finding.name:20} {finding.seen}")
            print(f"{'':40} {finding.next_step}")
            assert finding.state is not State.UNKNOWN, finding

    look()
    in_child(lambda: (become_user(), look())[1], timeout_s=30)


@case(timeout_s=150, seconds=13)
def case_the_command_prints_json_and_its_exit_code_is_the_answer() -> None:
    def run(*arguments: str) -> tuple[int, list[dict[str, object]]]:
        command = [sys.executable, "-m", "pymmio.cli", "doctor", "--json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    edu = find_function(EDU)
    assert run("--check", "vfio")[0] == 0
    assert run("--check", f"vfio:{edu.address}")[0] == 1
    with bound_to_vfio(EDU):
        code, found = run("--check", f"vfio:{edu.address}")
        assert code == 0
        assert f"vfio:{edu.address}" in found[-1]["needed_for"] or len(found) > 3


def case_this_machine_is_seen_as_it_was_made() -> None:
    report = examine()
    assert "Intel VT-d: dmar0" in name_of(report, "iommu", "IOMMU")
    assert name_of(report, "iommu", "interrupt remapping") == "ok: on"
    assert name_of(report, "vfio", "vfio-pci") == "ok: built in"
    assert name_of(report, "vfio", "interfaces") == "ok: cdev and group"
    assert name_of(report, "vfio", "unsafe interrupts").startswith("ok: refused")
    assert name_of(report, "vfio", "no-IOMMU mode") == "ok: off"
    assert name_of(report, "kernel", "module loading") == "info: this kernel has no modules"
    assert "intel_iommu=on" in name_of(report, "iommu", "kernel arguments")
    assert "all memory" in name_of(report, "kernel", "/dev/mem")


def case_a_device_of_the_kernels_is_not_ready_and_does_not_open() -> None:
    for ids, error in ((EDU, Unsupported), (NVME, DeviceBusy)):
        function = find_function(ids)
        state, seen, step = about(function)
        assert state is State.INFO
        assert f"group {function.iommu_group}" in seen
        assert step.endswith(f"pymmio bind {function.address}")
        assert not is_ready(function)
        with refuses(error):
            pymmio.open_device(f"vfio:{function.address}")
        bind(function.address)  # the next step
        try:
            assert is_ready(function)
            pymmio.open_device(f"vfio:{function.address}").close()
        finally:
            restore(function.address)
        assert not is_ready(function)


@by_interface()
@case(timeout_s=60, seconds=4)
def case_what_is_ready_opens() -> None:
    assert check("vfio").is_ready
    with bound_to_vfio(EDU) as edu:
        state, seen, _ = about(edu)
        assert state is State.OK, seen
        assert "ready by cdev and group" in seen
        assert is_ready(edu)
        opens(uri_of(edu.address))
    assert not is_ready(edu)


@by_interface()
@case(timeout_s=60, seconds=4)
def case_a_user_gets_what_the_nodes_give() -> None:
    def without() -> None:
        become_user()
        state, seen, step = about(edu)
        assert state is State.MISSING, seen
        assert f"is not for user {USER}: owner 0" in seen
        assert "pymmio setup-user" in step
        assert not is_ready(edu)
        assert check("vfio").is_ready
        with refuses(PermissionRefused):
            pymmio.open_device(uri_of(edu.address))

    def with_nodes() -> None:
        become_user()
        assert is_ready(edu), check(f"vfio:{edu.address}")
        opens(f"vfio:{edu.address}")
        opens(uri_of(edu.address))

    with bound_to_vfio(EDU) as edu:
        as_root(edu)
        in_child(without)
        with given_to(USER, *nodes_of(edu)):
            in_child(with_nodes)


def case_a_memlock_limit_that_is_too_small() -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
        become_user()
        report = check(f"vfio:{edu.address}")
        assert name_of(report, "memory", "memlock") == "missing: 4K, 0 in use"
        assert not report.is_ready
        with pymmio.open_device(f"vfio:{edu.address}?interface=group") as device:
            with refuses(BudgetExceeded):
                device.dma.alloc(1 << 20)

    with bound_to_vfio(EDU) as edu, given_to(USER, f"/dev/vfio/{edu.iommu_group}"):
        as_root(edu)
        in_child(limited)


@case(params=("group", "cdev"))
def case_a_device_in_use_names_the_process(interface: str) -> None:
    with bound_to_vfio(EDU) as edu:
        uri = f"vfio:{edu.address}?interface={interface}"
        with holding(lambda: pymmio.open_device(uri)) as pid:
            state, seen, _ = about(edu)
            assert state is State.INFO
            assert f"in use by process {pid} (" in seen
            assert not is_ready(edu)
            with refuses(DeviceBusy):
                pymmio.open_device(uri)


@case(guest="groups")
def case_a_group_that_is_not_viable() -> None:
    with bound_to_vfio(EDU) as edu:
        nvme = find_function(NVME)
        state, seen, step = about(edu)
        assert state is State.MISSING
        assert f"IOMMU group {edu.iommu_group} is not viable: {nvme.address} (nvme)" in seen
        assert step.endswith(f"pymmio bind {edu.address} --group")
        with refuses(DeviceBusy, "not viable"):
            pymmio.open_device(f"vfio:{edu.address}")
        bind(edu.address, group=True)
        try:
            assert about(edu)[0] is State.OK
            opens(f"vfio:{edu.address}")
        finally:
            restore(nvme.address)
        assert about(edu)[0] is State.MISSING


@case(guest="virtio-iommu", timeout_s=60)
def case_unsafe_interrupts_close_one_way_or_both() -> None:
    report = examine()
    assert "virtio-iommu" in name_of(report, "iommu", "IOMMU")
    assert name_of(report, "iommu", "interrupt remapping").startswith("warn")
    assert "can send any interrupt" in name_of(report, "vfio", "unsafe interrupts")
    with bound_to_vfio(EDU) as edu:
        for refused, free in (("group", "cdev"), ("cdev", "group")):
            with unsafe_interrupts_refused(refused):
                assert f"ready by {free}," in about(edu)[1]
                assert is_ready(edu)
                opens(f"vfio:{edu.address}?interface={free}")
                with refuses(PermissionRefused, "interrupts"):
                    pymmio.open_device(f"vfio:{edu.address}?interface={refused}")
        with unsafe_interrupts_refused("group", "cdev"):
            state, seen, step = about(edu)
            assert state is State.MISSING
            assert "interrupts are not remapped" in seen
            assert "allow_unsafe_interrupts" in step
            assert not check("vfio").is_ready
            with refuses(PermissionRefused, "interrupts"):
                pymmio.open_device(f"vfio:{edu.address}")


@case(guest="no-iommu")
def case_a_machine_without_an_iommu() -> None:
    edu = find_function(EDU)
    report = check("vfio")
    assert not report.is_ready
    (iommu,) = [finding for finding in report if finding.name == "IOMMU"]
    assert iommu.next_step.startswith("Boot without iommu=off. This is a virtual machine")
    assert about(edu)[0] is State.INFO
    assert not is_ready(edu)
    with refuses(Unsupported, "no IOMMU"):
        pymmio.open_device(f"vfio:{edu.address}")
