"""What to raise when QEMU has ended: while it started, or later."""

from __future__ import annotations

from pymmio.backend.qtest.process import EXIT_TIMEOUT_S, QemuProcess
from pymmio.errors import (
    DeviceBusy,
    DeviceGone,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
    UriError,
)
from pymmio.uri import DeviceUri

__all__ = ["ended", "refused"]

_SERVER = "Name the socket that it talks to by server=, as in qemu:DEVICE?server=PATH"
_MEANINGS: tuple[tuple[str, type[PymmioError], str], ...] = (
    (
        "'ivshmem-doorbell' is not a valid device model name",
        Unsupported,
        "It was built without what delivers interrupts: name another QEMU by binary=",
    ),
    ("'intel-iommu' is not a valid device model name", Unsupported, "Add iommu=off"),
    (
        "'vfio-user-pci' is not a valid device model name",
        Unsupported,
        "QEMU 10.1 and newer have it: name one by binary=. pymmio itself opens vfio-user:SOCKET",
    ),
    (
        "is not a valid device model name",
        DeviceNotFound,
        "See the devices that it has: qemu-system-x86_64 -device help",
    ),
    ("Failed to get", DeviceBusy, "Another program uses the file: end it, or name another file"),
    ("Permission denied", PermissionRefused, "See who may use the file"),
    (
        "'memdev'",
        UriError,
        "Name the file of its memory by memory=, as in qemu:DEVICE?memory=FILE&size=64M",
    ),
    ("'chardev'", UriError, _SERVER),
    ("chardev is mandatory", UriError, _SERVER),
    (
        "drive property not set",
        UriError,
        "Name the file of its disk by drive=, as in qemu:DEVICE?drive=FILE&size=64M",
    ),
    ("Failed to connect to", DeviceNotFound, "Start what listens on that socket first"),
    ("Image is not in", UriError, "Name the format of the image by format=, such as raw"),
    ("No such file", DeviceNotFound, "See the path, or add size=64M to have the file made"),
    ("-drive id=drive0", UriError, "See what drive= names, and format="),
    (
        "Parameter 'fd' is unexpected",
        Unsupported,
        "QEMU 7.2 or newer is needed; name another by binary=",
    ),
)


def ended(name: str, process: QemuProcess, seen: str = "") -> PymmioError:
    """Return the exception for a QEMU that does not answer any more, with its last words."""
    process.wait(EXIT_TIMEOUT_S if not process.has_ended() else 0)
    words = process.last_words()
    said = f"; it said: {words}" if words else ""
    seen = f"{seen}, {process.status()}" if seen else process.status()
    return DeviceGone(
        f"{name}: QEMU is gone ({seen}){said}",
        hint="Close the device and open it again",
    )


def refused(uri: DeviceUri, process: QemuProcess) -> PymmioError:
    """Return the exception for a QEMU that ended instead of starting."""
    process.wait(EXIT_TIMEOUT_S)
    words = process.last_words().removesuffix(".")
    if not words:
        return Unsupported(
            f"{uri}: QEMU did not start: {process.status()}, and it said nothing",
            hint="Is it QEMU 7.2 or newer, for x86? Run it by hand with --version",
        )
    for text, kind, hint in _MEANINGS:
        if text in words:
            return kind(f"{uri}: QEMU says: {words}", hint=hint)
    return UriError(
        f"{uri}: QEMU says: {words}",
        hint=f"See the properties: qemu-system-x86_64 -device {uri.target.split(',')[0]},help",
    )
