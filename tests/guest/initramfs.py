"""Make the initramfs: busybox, and an init that starts the agent in the host's file system.

The host's root is mounted read-only over 9p, so the guest has the same interpreter and the same
checkout at the same paths. A guest of another architecture has another root; the checkout then
comes over 9p as well, with the extensions built for it laid over the host's.
"""

from __future__ import annotations

import shlex
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ROOT_TAG = "root"
SHARE_TAG = "share"
PROJECT_TAG = "project"
SHARE = Path("/run/guest")

# Exit codes handed to the machine. 0 is not among them: QEMU's own status would be 1, which is
# also what QEMU returns when it fails by itself.
EXIT_DONE = 0x20
EXIT_AGENT_DIED = 0x21
EXIT_NO_ROOT = 0x22

_FOLDERS = ("bin", "dev", "host", "modules", "project", "replaced", "scratch")

_INIT = """\
#!/bin/busybox sh
b=/bin/busybox
finish() {{ echo "guest init: $2"; {exit_command}; $b poweroff -f; }}
must() {{ "$@" || finish {no_root} "failed: $*"; }}
p9() {{ must $b mount -t 9p -o "trans=virtio,version=9p2000.L,msize=524288,$3" $1 $2; }}

must $b mount -t devtmpfs dev /dev
{load_modules}
p9 {root_tag} /host ro,cache=loose
must $b mount -t proc proc /host/proc
must $b mount -t sysfs sys /host/sys
must $b mount -t devtmpfs dev /host/dev
$b mkdir -p /host/dev/pts /host/dev/shm
must $b mount -t devpts pts /host/dev/pts
must $b mount -t tmpfs shm /host/dev/shm
must $b mount -t tmpfs run /host/run
$b mkdir -p /host{share}
p9 {share_tag} /host{share} rw,cache=none
# An overlay, not an empty tmpfs: the checkout may stand below /tmp.
must $b mount -t tmpfs scratch /scratch
$b mkdir /scratch/upper /scratch/work
must $b mount -t overlay -o lowerdir=/host/tmp,upperdir=/scratch/upper,workdir=/scratch/work \\
  tmp /host/tmp
{mount_project}
$b ip link set lo up

$b env -i {environment} $b chroot /host {command}
status=$?
[ $status = 0 ] && finish {done} "agent finished"
finish {agent_died} "agent ended with status $status"
"""


_PROJECT = """\
p9 {project_tag} /project ro,cache=loose
must $b mount -t overlay -o lowerdir=/replaced:/project project /host{project}"""


def init_script(
    command: list[str],
    environment: Mapping[str, str],
    exit_command: str,
    *,
    modules: Sequence[str] = (),
    project: Path | None = None,
) -> str:
    """Return the init that runs ``command`` in the guest's root.

    ``exit_command`` is shell text that ends the machine with the code in ``$1``.  ``modules`` of
    the archive are loaded in this order; ``project`` is where the root wants the checkout, None
    where it has it already.
    """
    return _INIT.format(
        load_modules="\n".join(f"must $b insmod /modules/{name}" for name in modules),
        mount_project=_PROJECT.format(project_tag=PROJECT_TAG, project=project) if project else "",
        command=shlex.join(command),
        environment=" ".join(shlex.quote(f"{key}={value}") for key, value in environment.items()),
        exit_command=exit_command,
        root_tag=ROOT_TAG,
        share_tag=SHARE_TAG,
        share=SHARE,
        no_root=EXIT_NO_ROOT,
        done=EXIT_DONE,
        agent_died=EXIT_AGENT_DIED,
    )


def agent_command(
    interpreter: str = sys.executable, project: Path = PROJECT
) -> tuple[list[str], dict[str, str]]:
    """Return command and environment that start the agent as ``interpreter`` sees ``project``."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{project}:{project / 'drivers'}",
        # The root is read-only; the host compiles what will be imported (tests.guest.guest).
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return [interpreter, "-m", "tests.guest.agent", str(SHARE)], environment


def write_initramfs(
    path: Path, init: str, busybox: Path, others: Mapping[str, Path] | None = None
) -> None:
    """Write a cpio archive with ``init``, busybox, and ``others`` by their path in the archive."""
    members: list[tuple[str, int, bytes, tuple[int, int]]] = [
        (name, stat.S_IFDIR | 0o755, b"", (0, 0)) for name in _FOLDERS
    ]
    members.append(("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)))
    members.append(("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes(), (0, 0)))
    folders = {str(parent) for name in others or {} for parent in Path(name).parents}
    members += [
        (name, stat.S_IFDIR | 0o755, b"", (0, 0)) for name in sorted(folders - {".", *_FOLDERS})
    ]
    members += [
        (name, stat.S_IFREG | 0o755, other.read_bytes(), (0, 0))
        for name, other in (others or {}).items()
    ]
    members.append(("init", stat.S_IFREG | 0o755, init.encode(), (0, 0)))
    with path.open("wb") as archive:
        archive.writelines(_newc(members))


def _newc(members: list[tuple[str, int, bytes, tuple[int, int]]]) -> Iterator[bytes]:
    """Yield the archive's bytes (Linux Documentation/driver-api/early-userspace/buffer-format)."""
    everything = [*members, ("TRAILER!!!", 0, b"", (0, 0))]
    for inode, (name, mode, data, (major, minor)) in enumerate(everything, start=1):
        encoded = name.encode() + b"\0"
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        yield _padded(header + encoded)
        yield _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def host_busybox() -> Path:
    """Return the machine's busybox; raises FileNotFoundError naming the package."""
    found = shutil.which("busybox")
    if found is None:
        raise FileNotFoundError("busybox is missing: apt-get install busybox-static")
    return Path(found)
