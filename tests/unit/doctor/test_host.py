"""What is read of a machine, and that nothing of it is changed."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pymmio.doctor.host import Host, fields
from tests.unit.doctor.fake_host import KERNEL, FakeHost


def test_paths_are_those_of_the_real_machine_below_the_roots(tmp_path: Path) -> None:
    host = Host(root=tmp_path, sysfs=tmp_path / "else")
    assert host.place("/sys/bus") == str(tmp_path / "else/bus")
    assert host.place("/proc") == str(tmp_path / "proc")
    assert host.place("/dev/vfio/7") == str(tmp_path / "dev/vfio/7")
    assert host.place("/system") == str(tmp_path / "system")
    assert Host().place("/sys/bus") == "/sys/bus"
    with pytest.raises(ValueError, match="absolute"):
        host.place("relative")


@pytest.mark.parametrize(
    "change",
    [
        lambda host: host.open("/dev/null", os.O_RDONLY),
        lambda host: host.ioctl(0, 0x3B64),
        lambda host: host.pread(0, 1, 0),
        lambda host: host.pwrite(0, b"", 0),
        lambda host: host.close(0),
        lambda host: host.replace_by_nothing(0),
    ],
)
def test_a_probe_cannot_use_descriptors(change: Callable[[Host], object]) -> None:
    with pytest.raises(AssertionError, match="only looks"):
        change(Host())


def test_the_configuration_is_found_compressed_or_plain(tmp_path: Path) -> None:
    host = FakeHost(tmp_path / "a")
    assert host.kernel_config is None
    assert host.is_configured("VFIO") is None
    host = FakeHost(tmp_path / "b")
    text = '# CONFIG_OFF is not set\nCONFIG_VFIO=y\nCONFIG_NAME="a=b"\n'
    host.data("/proc/config.gz", gzip.compress(text.encode()))
    assert host.kernel_config == {"VFIO": "y", "NAME": '"a=b"'}
    assert host.is_configured("VFIO") is True
    assert host.is_configured("OFF") is False
    host = FakeHost(tmp_path / "c")
    host.data("/proc/config.gz", b"no gzip")
    host.text(f"/boot/config-{KERNEL}", text)
    assert host.is_configured("VFIO") is True


def test_the_auxiliary_vector_is_read_in_the_machines_own_order(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.data("/proc/self/auxv", (16).to_bytes(8, sys.byteorder) + (5).to_bytes(8, sys.byteorder))
    assert host.auxiliary_vector == {16: 5}


def test_the_running_machine_has_an_auxiliary_vector() -> None:
    at_pagesz = 6  # getauxval(3)
    assert Host().auxiliary_vector[at_pagesz] == os.sysconf("SC_PAGESIZE")


def test_fields_are_those_of_the_first_processor() -> None:
    text = "\nprocessor\t: 0\nflags\t\t: a b: c\n\nprocessor\t: 1\nflags\t: z\n"
    assert fields(text) == {"processor": "0", "flags": "a b: c"}
    assert fields("") == {}


def test_folders_that_depend_on_where_one_stands_are_not_searched() -> None:
    assert Host(path="/usr/bin::.:bin:/opt").search_path == ("/usr/bin", "/opt")
    assert Host(path="").search_path == ()


def test_permission_is_asked_for_without_opening(tmp_path: Path) -> None:
    host = Host(root=tmp_path)
    node = tmp_path / "dev/node"
    node.parent.mkdir()
    node.touch()
    assert host.may_use("/dev/node")
    assert not host.may_use("/dev/none")
    assert host.owner_of("/dev/node")[0] == os.getuid()
