"""The files of a guest with zPCI: everything is found in the cache, nothing is fetched here."""

from __future__ import annotations

from tests.arch.python import INTERPRETER, PYTHON
from tests.guest.platforms import Files
from tests.s390x import machine
from tests.s390x.extensions import ensure_extensions


def files() -> Files:
    """Return what the guest is started from; builds the extensions if their sources changed.

    Raises tests.arch.build.BuildFailed.
    """
    qemu, kernel = machine.QEMU.folder, machine.KERNEL.folder
    program = qemu / "usr/bin/qemu-system-s390x"
    (modules,) = qemu.glob("usr/lib/*/qemu")
    return Files(
        qemu=(str(program), "-L", str(qemu / "usr/share/qemu")),
        # Else it looks for modules among those of the system's own QEMU, and refuses them.
        environment={"QEMU_MODULE_DIR": str(modules)},
        kernel=kernel / "vmlinuz",
        busybox=machine.BUSYBOX.folder / machine.BUSYBOX_PROGRAM,
        modules=tuple(kernel / f"modules/{name}.ko" for name in machine.module_order(kernel)),
        root=PYTHON.folder,
        interpreter=f"/{INTERPRETER}",
        replaced=ensure_extensions(),
    )
