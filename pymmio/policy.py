"""Which devices this program may touch: asked before any ioctl, bind or access.

The default allows everything.  An allow-list file, named by the environment variable
``PYMMIO_ALLOW_FILE`` or given to :func:`set_policy`, allows what it lists and nothing else.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pymmio.errors import PolicyRefused
from pymmio.uri import DeviceUri

__all__ = ["ALLOW_FILE_VARIABLE", "AllowFile", "Policy", "authorise", "set_policy"]

ALLOW_FILE_VARIABLE = "PYMMIO_ALLOW_FILE"

Policy = Callable[[DeviceUri], None]
"""Raises PolicyRefused, or returns."""


@dataclass(frozen=True, slots=True)
class AllowFile:
    """A policy from a file: one pattern a line, matched with shell wildcards.

    A pattern is compared with ``scheme:target``; options do not count.  Empty lines and
    lines that start with '#' are skipped.  A file that cannot be read allows nothing.
    """

    path: Path

    def __call__(self, uri: DeviceUri) -> None:
        """Raise PolicyRefused unless a line of the file matches."""
        name = f"{uri.scheme}:{uri.target}"
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyRefused(
                f"{name} is refused: the allow-list {self.path} cannot be read ({error})",
                hint=f"Mend the file, or unset {ALLOW_FILE_VARIABLE}",
            ) from error
        patterns = [line.strip() for line in lines]
        if not any(
            fnmatch.fnmatchcase(name, pattern)
            for pattern in patterns
            if pattern and not pattern.startswith("#")
        ):
            raise PolicyRefused(
                f"{name} is refused: no line of the allow-list {self.path} matches it",
                hint=f"Add the line {name}",
            )


_policy: Policy | None = None


def set_policy(policy: Policy | None) -> None:
    """Use ``policy`` for all devices opened from now on; None is the default again."""
    global _policy
    _policy = policy


def authorise(uri: DeviceUri) -> None:
    """Raise PolicyRefused unless the device may be touched.  Touches nothing itself."""
    if _policy is not None:
        _policy(uri)
    elif path := os.environ.get(ALLOW_FILE_VARIABLE):
        AllowFile(Path(path))(uri)
