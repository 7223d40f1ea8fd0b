"""The emulated machine: a newer QEMU than the system's, Debian's kernel, a static busybox."""

from __future__ import annotations

import lzma
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.debian import Apt, PackageSet, PackagesUnavailable, ensure

# 7.2 of Debian 12 has no NVMe controller on s390x.
QEMU = PackageSet(
    name="qemu-s390x",
    architecture="amd64",
    suites=("bookworm-backports", "trixie"),
    packages=("qemu-system-s390x", "qemu-system-common", "qemu-system-data"),
)
KERNEL = PackageSet(
    name="linux-s390x",
    architecture="s390x",
    suites=("trixie-backports", "forky", "sid"),
    packages=("linux-image-s390x",),
)
BUSYBOX = PackageSet(
    name="busybox-s390x",
    architecture="s390x",
    suites=("trixie", "forky"),
    packages=("busybox-static",),
)
BUSYBOX_PROGRAM = "usr/bin/busybox"
OLDEST_KERNEL = (6, 15)  # maps BARs on s390x (Linux 6.15, arch/s390/pci and vfio-pci)
MODULES = ("9pnet_virtio", "9p", "overlay", "vfio-pci", "vfio_iommu_type1")


def ensure_qemu() -> Path:
    """Return the folder with QEMU unpacked. Raises PackagesUnavailable."""
    return ensure(QEMU)


def ensure_busybox() -> Path:
    """Return the static busybox. Raises PackagesUnavailable."""
    return ensure(BUSYBOX) / BUSYBOX_PROGRAM


def ensure_kernel() -> Path:
    """Return the folder with ``vmlinuz`` and ``modules/*.ko``. Raises PackagesUnavailable."""
    return ensure(KERNEL, select=_kernel_packages, finish=_arrange_kernel)


def module_order(kernel: Path) -> list[str]:
    """Return the names of the modules in the order in which they must be loaded."""
    return (kernel / "modules/order").read_text().split()


def _kernel_packages(apt: Apt) -> Sequence[str]:
    """Return the packages behind the meta package; newer ones keep image and modules apart."""
    image = next((name for name in apt.depends(KERNEL.packages[0]) if "linux-image-" in name), "")
    version = re.search(r"-(\d+)\.(\d+)", image)
    if version is None:
        raise PackagesUnavailable("it has no linux-image-s390x")
    if (int(version[1]), int(version[2])) < OLDEST_KERNEL:
        raise PackagesUnavailable(f"{image} is older than {OLDEST_KERNEL[0]}.{OLDEST_KERNEL[1]}")
    parts = [
        name for name in apt.depends(image) if name.startswith(("linux-binary-", "linux-modules-"))
    ]
    return parts or [image]


def _arrange_kernel(root: Path) -> None:
    """Put the image to ``vmlinuz``, the wanted modules uncompressed to ``modules``; drop others."""
    images = [path for path in root.rglob("vmlinuz*") if path.is_file()]
    if len(images) != 1:
        raise PackagesUnavailable(f"the packages hold {len(images)} kernel images, wanted one")
    modules = {_name(path): path for path in root.rglob("*.ko*")}
    needed: list[str] = []
    contents = {}

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in needed or name not in modules:
            return  # not a module: built into this kernel
        data = modules[name].read_bytes()
        contents[name] = lzma.decompress(data) if modules[name].suffix == ".xz" else data
        depends = re.search(rb"\0depends=([^\0]*)\0", contents[name])
        for other in depends[1].decode().split(",") if depends else ():
            add(other)
        needed.append(name)

    for name in MODULES:
        add(name)
    images[0].rename(root / "image")
    for entry in root.iterdir():
        if entry.name != "image":
            _remove(entry)
    (root / "image").rename(root / "vmlinuz")
    (root / "modules").mkdir()
    for name in needed:
        (root / "modules" / f"{name}.ko").write_bytes(contents[name])
    (root / "modules/order").write_text("\n".join(needed) + "\n")


def _name(path: Path) -> str:
    return path.name.partition(".")[0].replace("-", "_")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
