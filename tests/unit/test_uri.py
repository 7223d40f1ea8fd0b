"""Device URIs."""

from __future__ import annotations

import pytest

from pymmio.errors import UriError
from pymmio.uri import DeviceUri


@pytest.mark.parametrize(
    ("text", "scheme", "target", "options"),
    [
        ("sim:nvme", "sim", "nvme", {}),
        ("sim:nvme?size=64M&ns=2", "sim", "nvme", {"size": "64M", "ns": "2"}),
        ("vfio:0000:01:00.0", "vfio", "0000:01:00.0", {}),
        ("vfio-user:/run/dev.sock", "vfio-user", "/run/dev.sock", {}),
        (
            "vfio-user:/run/a:b.sock?timeout=5&twin=off",
            "vfio-user",
            "/run/a:b.sock",
            {"timeout": "5", "twin": "off"},
        ),
        ("qemu:nvme,serial=x?drive=disk.img", "qemu", "nvme,serial=x", {"drive": "disk.img"}),
        ("SIM:edu?flag", "sim", "edu", {"flag": ""}),
    ],
)
def test_parts(text: str, scheme: str, target: str, options: dict[str, str]) -> None:
    uri = DeviceUri.parse(text)
    assert (uri.scheme, uri.target, uri.options) == (scheme, target, options)
    assert DeviceUri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text", ["", "nvme", ":nvme", "sim:", "sim:?size=1", "a b:c", "sim:nvme?", "sim:nvme?a=1&a=2"]
)
def test_what_is_no_uri_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UriError, match="Write"):
        DeviceUri.parse(text)
