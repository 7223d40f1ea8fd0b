"""What a user without root needs: a udev rule and a memlock limit, as text.

Nothing here changes the machine: the text is for an administrator to read and to apply.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
from dataclasses import dataclass

from pymmio.errors import BadArgument

__all__ = ["MEMLOCK_BYTES", "AccessSetup", "SetupFile", "access_setup", "current_user"]

MEMLOCK_BYTES = 4 << 30
RULES_PATH = "/etc/udev/rules.d/70-pymmio.rules"
_MAX_MEMLOCK = 1 << 62

# A name that udev, limits.conf and file names take as it stands; others go by their number.
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SetupFile:
    """A file of the system's configuration, to be written by root."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class AccessSetup:
    """The files and commands that give one user access to what is bound to VFIO."""

    user: str
    uid: int
    files: tuple[SetupFile, ...]
    commands: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "user": self.user,
            "uid": self.uid,
            "files": [{"path": file.path, "content": file.content} for file in self.files],
            "commands": list(self.commands),
        }

    def script(self) -> str:
        """Return all of it as a script for sh, to be read and then run by root."""
        parts = [
            f"# Lets the user {self.user} (uid {self.uid}) use devices that are bound to "
            "vfio-pci.\n# Nothing was changed: read it, then run it as root, for instance\n"
            "#   pymmio setup-user > setup.sh; less setup.sh; sudo sh setup.sh\nset -eu\n"
        ]
        for file in self.files:
            folder = file.path.rpartition("/")[0]
            parts.append(f"mkdir -p {folder}\ncat > {file.path} <<'EOF'\n{file.content}EOF\n")
        parts.append("\n".join(self.commands) + "\n")
        parts.append("# Log out and in again; then `ulimit -l` shows the new limit.\n")
        return "\n".join(parts)


def current_user() -> str:
    """Return the name of who runs this; behind sudo, of who called sudo."""
    behind_sudo = os.environ.get("SUDO_USER") if os.geteuid() == 0 else None
    if behind_sudo:
        return behind_sudo
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def access_setup(
    user: str, *, group: str | None = None, memlock_bytes: int = MEMLOCK_BYTES
) -> AccessSetup:
    """Return what ``user``, a name or a number, needs.  Changes nothing.

    The devices then belong to the user; with ``group`` to that group, so that several may have
    them.  ``memlock_bytes`` is how much memory the user's devices may reach in all.  Raises
    BadArgument for root, who needs none of it, and for a name that does not exist.
    """
    if group is not None and not _PLAIN_NAME.fullmatch(group):
        raise BadArgument(
            f"{group!r} is no name for a group",
            hint="Use lower-case letters, digits, '-' and '_', such as vfio",
        )
    if not 4096 <= memlock_bytes <= _MAX_MEMLOCK:
        raise BadArgument(
            f"a memlock limit of {memlock_bytes} bytes makes no sense",
            hint="Give what the buffers of all devices take together, such as 4G",
        )
    name, uid = _look_up(user)
    if uid == 0:
        raise BadArgument(
            "root needs no permission to use devices", hint="Name the user: --user NAME"
        )
    plain = _PLAIN_NAME.fullmatch(name) is not None
    limit = memlock_bytes // 1024
    owner = f'OWNER="{name if plain else uid}", MODE="0600"'
    if group is not None:
        owner = f'GROUP="{group}", MODE="0660"'
    files = (
        SetupFile(RULES_PATH, _rules(owner, name if group is None else f"group {group}")),
        SetupFile(
            f"/etc/security/limits.d/70-pymmio-{uid}.conf",
            "# Memory that a device reaches is locked. In KiB, for sessions that PAM opens.\n"
            f"{name if plain else f':{uid}'} - memlock {limit}\n",
        ),
        SetupFile(
            f"/etc/systemd/system/user@{uid}.service.d/70-pymmio.conf",
            "# The same for what systemd starts for the user: desktop sessions, user services.\n"
            f"[Service]\nLimitMEMLOCK={limit}K\n",
        ),
    )
    join = (f"groupadd --system --force {group}", f"usermod -a -G {group} {shlex.quote(name)}")
    commands = (
        *(join if group is not None else ()),
        "udevadm control --reload",
        "udevadm trigger --action=change --subsystem-match=vfio --subsystem-match=vfio-dev",
        "udevadm trigger --action=change --subsystem-match=misc --sysname-match=iommu",
        "systemctl daemon-reload",
    )
    return AccessSetup(name, uid, files, commands)


def _look_up(user: str) -> tuple[str, int]:
    try:
        if user.isascii() and user.isdigit():
            uid = int(user)
            try:
                return pwd.getpwuid(uid).pw_name, uid
            except (KeyError, OverflowError):
                return user, uid
        return user, pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise BadArgument(f"there is no user {user!r}", hint="Name one: --user NAME") from None


def _rules(owner: str, owned_by: str) -> str:
    """Return rules as udev(7) describes them: matches ``==``, assignments ``=``, one a line."""
    return f"""\
# Devices that are bound to vfio-pci belong to {_comment(owned_by)}. Such a device reaches only
# the memory that its program gives it, the IOMMU sees to that; the rule opens no other device.

# /dev/vfio/7: an IOMMU group. (/dev/vfio/vfio, the container, is open to everybody.)
SUBSYSTEM=="vfio", KERNEL=="[0-9]*", {owner}

# /dev/vfio/devices/vfio0: a device, for iommufd.
SUBSYSTEM=="vfio-dev", KERNEL=="vfio[0-9]*", {owner}

# /dev/iommu: iommufd itself.
SUBSYSTEM=="misc", KERNEL=="iommu", {owner}
"""


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
