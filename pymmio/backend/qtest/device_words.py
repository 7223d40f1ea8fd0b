"""A device in QEMU's words: ``model,property=value,...``, or a JSON object.

Some properties, such as a socket, can only be said in JSON (QEMU's manual page, ``-device``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property

from pymmio.errors import UriError

__all__ = ["DeviceWords"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class DeviceWords:
    """What follows ``-device``.  Raises UriError for what cannot be that."""

    def __init__(self, text: str) -> None:
        self.text = text
        if not _NAME.fullmatch(self.model):
            raise UriError(
                f"{self.model!r} is no name of a device model",
                hint="Write a PCI device that QEMU knows (qemu-system-x86_64 -device help): "
                "qemu:edu",
            )

    @cached_property
    def _json(self) -> dict[str, object] | None:
        if not self.text.startswith("{"):
            return None
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise UriError(
                f"{self.text!r} is no JSON: {error}",
                hint='Write qemu:{"driver":"vfio-user-pci", ...}',
            ) from error
        assert isinstance(found, dict)  # it begins with a brace
        return found

    @property
    def model(self) -> str:
        """QEMU's name of the device."""
        if self._json is not None:
            return str(self._json.get("driver", ""))
        return self.text.partition(",")[0]

    @property
    def properties(self) -> list[str]:
        """The names of the properties that are set."""
        if self._json is not None:
            return [name for name in self._json if name != "driver"]
        return [text.partition("=")[0] for text in self.text.split(",")[1:]]

    def with_properties(self, more: Mapping[str, str]) -> str:
        """Return the words with more properties behind them."""
        if self._json is not None:
            return json.dumps(self._json | dict(more))
        return ",".join((self.text, *(f"{name}={value}" for name, value in more.items())))
