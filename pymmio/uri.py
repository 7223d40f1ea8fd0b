"""Device URIs: ``scheme:target?option=value&option``."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from pymmio.errors import UriError

__all__ = ["DeviceUri"]


@dataclass(frozen=True, slots=True)
class DeviceUri:
    """A device URI in its parts; ``options`` keeps the order of the query.

    ``sim:nvme?size=64M`` has the scheme "sim", the target "nvme" and one option.
    """

    scheme: str
    target: str
    options: dict[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, text: str) -> DeviceUri:
        """Take a URI apart.  Raises UriError with the expected form."""
        scheme, colon, rest = text.partition(":")
        if not colon or not scheme.isascii() or not scheme.replace("-", "").isalnum():
            raise UriError(
                f"{text!r} is not a device URI",
                hint="Write backend:device, such as sim:nvme?size=64M or vfio:0000:01:00.0",
            )
        target, question, query = rest.partition("?")
        if not target:
            raise UriError(
                f"{text!r} names no device",
                hint=f"Write {scheme}:device, such as {_EXAMPLES.get(scheme, scheme + ':name')}",
            )
        pairs = parse_qsl(query, keep_blank_values=True)
        options = dict(pairs)
        if (question and not pairs) or len(options) != len(pairs):
            raise UriError(
                f"{text!r}: the options after '?' are empty or repeated",
                hint="Write ?name=value&name=value, each name once",
            )
        return cls(scheme.lower(), target, options)

    def __str__(self) -> str:
        query = "&".join(
            f"{name}={value}" if value else name for name, value in self.options.items()
        )
        return f"{self.scheme}:{self.target}" + (f"?{query}" if query else "")


_EXAMPLES = {
    "qemu": "qemu:edu",
    "sim": "sim:nvme?size=64M",
    "sysfs": "sysfs:0000:01:00.0",
    "vfio": "vfio:0000:01:00.0",
    "vfio-user": "vfio-user:/run/device.sock",
}
