"""The right packages are chosen, and what cannot be had is told with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from tests.debian import Apt, PackageSet, PackagesUnavailable
from tests.s390x import machine


class Suite:
    """A suite in which packages depend on these."""

    def __init__(self, **depends: Sequence[str]) -> None:
        self._depends = {name.replace("_", "-"): list(names) for name, names in depends.items()}

    def depends(self, package: str) -> list[str]:
        return self._depends.get(package, [])


def chosen(suite: Suite) -> Sequence[str]:
    return machine._kernel_packages(cast(Apt, suite))


def test_image_and_modules_that_are_apart() -> None:
    suite = Suite(linux_image_s390x=["linux-image-7.2.1-s390x"])
    suite._depends["linux-image-7.2.1-s390x"] = [
        "kmod",
        "linux-binary-7.2.1-s390x",
        "linux-modules-7.2.1-s390x",
    ]
    assert chosen(suite) == ["linux-binary-7.2.1-s390x", "linux-modules-7.2.1-s390x"]


def test_image_and_modules_in_one_package() -> None:
    suite = Suite(linux_image_s390x=["linux-image-6.19.2-s390x"])
    assert chosen(suite) == ["linux-image-6.19.2-s390x"]


def test_kernel_that_cannot_map_bars_is_refused() -> None:
    suite = Suite(linux_image_s390x=["linux-image-6.12.9-s390x"])
    with pytest.raises(PackagesUnavailable, match=r"6\.12\.9-s390x is older than 6\.15"):
        chosen(suite)


def test_suite_without_a_kernel_is_refused() -> None:
    with pytest.raises(PackagesUnavailable, match="no linux-image-s390x"):
        chosen(Suite())


def test_other_packages_are_kept_in_another_folder() -> None:
    one = PackageSet("a", "s390x", ("trixie",), ("x",))
    assert one.folder == PackageSet("a", "s390x", ("trixie",), ("x",)).folder
    assert one.folder != PackageSet("a", "s390x", ("trixie",), ("y",)).folder
    assert one.folder != PackageSet("a", "s390x", ("forky",), ("x",)).folder


def test_modules_are_loaded_after_those_that_they_need(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-7").write_bytes(b"image")
    modules = tmp_path / "lib/modules"
    modules.mkdir(parents=True)
    (modules / "vfio-pci.ko").write_bytes(b"\0depends=vfio\0")
    (modules / "vfio.ko").write_bytes(b"\0depends=\0")
    (modules / "unwanted.ko").write_bytes(b"\0depends=\0")
    machine._arrange_kernel(tmp_path)
    assert machine.module_order(tmp_path) == ["vfio", "vfio_pci"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["modules", "vmlinuz"]
    assert not (tmp_path / "modules/unwanted.ko").exists()
