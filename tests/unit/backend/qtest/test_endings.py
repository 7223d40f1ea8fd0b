"""What QEMU's last words, and how it ended, mean to the caller."""

from __future__ import annotations

from typing import cast

import pytest

from pymmio.backend.qtest.endings import ended, refused
from pymmio.backend.qtest.process import QemuProcess
from pymmio.errors import DeviceNotFound, PymmioError, Unsupported, UriError
from pymmio.uri import DeviceUri

SAID = "qemu: -device x,id=device: "


class Ended:
    """A QEMU that has ended."""

    def __init__(self, words: str) -> None:
        self.words = words

    def wait(self, timeout_s: float) -> None:
        return

    def has_ended(self) -> bool:
        return True

    def status(self) -> str:
        return "it was ended by SIGKILL"

    def last_words(self) -> str:
        return self.words


def qemu(words: str = "") -> QemuProcess:
    return cast(QemuProcess, Ended(words))


@pytest.mark.parametrize(
    ("words", "kind", "option"),
    [
        (SAID + "'memdev' property must be set", UriError, "?memory=FILE"),
        (SAID + "You must specify a 'memdev'", UriError, "?memory=FILE"),
        (SAID + "You must specify a 'chardev'", UriError, "?server=PATH"),
        (SAID + "chardev is mandatory", UriError, "?server=PATH"),
        (SAID + "drive property not set", UriError, "?drive=FILE"),
        (
            "qemu: -chardev socket: Failed to connect to '/s': No such file or directory",
            DeviceNotFound,
            "Start what listens",
        ),
        ("qemu: -drive id=drive0,file=/f: Image is not in qcow2 format", UriError, "format="),
        ("qemu: -drive id=drive0,file=/f: cannot be used", UriError, "drive="),
        (SAID + "'vfio-user-pci' is not a valid device model name", Unsupported, "10.1"),
        (SAID + "'no-such' is not a valid device model name", DeviceNotFound, "-device help"),
        (SAID + "something new", UriError, "-device x,help"),
    ],
)
def test_a_hint_names_the_option_of_the_uri(
    words: str, kind: type[PymmioError], option: str
) -> None:
    error = refused(DeviceUri.parse("qemu:x"), qemu(words))
    assert type(error) is kind
    assert error.hint is not None
    assert option in error.hint
    assert words in error.message


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("", "qemu:x: QEMU is gone (it was ended by SIGKILL)"),
        ("the connection has ended", "(the connection has ended, it was ended by SIGKILL)"),
    ],
)
def test_how_it_ended_is_said_once(seen: str, said: str) -> None:
    assert said in ended("qemu:x", qemu(), seen).message


def test_last_words_are_in_the_message() -> None:
    assert ended("qemu:x", qemu("assertion failed")).message.endswith("it said: assertion failed")


def test_a_sentence_of_qemu_s_has_one_full_stop() -> None:
    assert ".." not in str(refused(DeviceUri.parse("qemu:x"), qemu("Try '--help' for more.")))
