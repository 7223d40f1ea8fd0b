"""Where a part of the kernel is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.doctor.modules import Presence, presence
from tests.unit.doctor.fake_host import KERNEL, FakeHost

FOLDER = f"/lib/modules/{KERNEL}"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def look(host: FakeHost) -> Presence:
    return presence(host, "vfio-pci", "VFIO_PCI")


def test_nothing_to_be_seen_is_unknown(host: FakeHost) -> None:
    assert look(host) is Presence.UNKNOWN
    assert not look(host).is_there


def test_loaded_and_built_in_are_told_apart(host: FakeHost) -> None:
    host.folder("/sys/module/vfio_pci")
    assert look(host) is Presence.BUILT_IN
    host.text("/sys/module/vfio_pci/initstate", "live\n")
    assert look(host) is Presence.LOADED
    assert look(host).is_there


def test_lists_of_modules(host: FakeHost) -> None:
    host.text(f"{FOLDER}/modules.builtin", "kernel/drivers/vfio/vfio.ko\n")
    host.text(f"{FOLDER}/modules.dep", "kernel/drivers/vfio/pci/vfio-pci-core.ko: a.ko\n")
    assert look(host) is Presence.ABSENT
    host.text(f"{FOLDER}/modules.dep", "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/x.ko.xz\n")
    assert look(host) is Presence.LOADABLE
    host.text(f"{FOLDER}/modules.builtin", "kernel/drivers/vfio/pci/vfio-pci.ko\n")
    assert look(host) is Presence.BUILT_IN


def test_a_dependency_of_another_module_is_no_module(host: FakeHost) -> None:
    host.text(f"{FOLDER}/modules.builtin", "")
    host.text(f"{FOLDER}/modules.dep", "kernel/other.ko: kernel/drivers/vfio/pci/vfio-pci.ko\n")
    assert look(host) is Presence.ABSENT


def test_the_configuration_where_there_are_no_lists(host: FakeHost) -> None:
    host.config("VFIO_PCI")
    assert look(host) is Presence.BUILT_IN


def test_the_configuration_without_it(host: FakeHost) -> None:
    host.config("PCI")
    assert look(host) is Presence.ABSENT


def test_a_module_whose_files_are_not_installed(host: FakeHost) -> None:
    host.text(f"/boot/config-{KERNEL}", "CONFIG_VFIO_PCI=m\n")
    assert look(host) is Presence.UNKNOWN
