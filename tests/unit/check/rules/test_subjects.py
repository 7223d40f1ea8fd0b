"""Ready subjects reach the device, in the widths that they name."""

from __future__ import annotations

import os

import pytest

from pymmio.check.rules import SUBJECTS, Seen, file_subject, preset, ready_subject, run, through
from pymmio.cli.check.rules import SUBJECTS as NAMES_OF_THE_COMMAND
from pymmio.errors import BadArgument, Unsupported
from pymmio.models.access_recorder import AccessRecorderModel
from pymmio.testing import open_model


def test_the_command_knows_all_subjects():
    assert tuple(SUBJECTS) == NAMES_OF_THE_COMMAND


@pytest.mark.parametrize("name", ["region", "strict", "split", "bytes", "message"])
def test_a_subject_reads_and_writes(name):
    model = AccessRecorderModel()
    with open_model(model) as device:
        subject = ready_subject(name, device, "strict-pci")
        assert subject.widths == (1, 2, 4, 8)
        for width in subject.widths:
            value = int.from_bytes(bytes(range(0x81, 0x81 + width)), "little")
            assert subject.access(True, 0x20, width, value) is None
            assert subject.access(False, 0x20, width, 0) == value


def test_the_message_subject_does_not_align():
    model = AccessRecorderModel()
    with open_model(model) as device:
        ready_subject("message", device, "strict-pci").access(False, 0x1FFD, 8, 0)
        assert [(entry.offset, entry.width) for entry in model.log] == [(0x1FFD, 8)]


class Unchecked:
    """A region handle with a way past its checks, as that of the qemu backend."""

    def __init__(self):
        self.log = []

    def unchecked(self):
        return self

    def read(self, offset, width):
        self.log.append((offset, width))
        return 0


def test_the_message_subject_goes_past_checks_in_all_widths(monkeypatch):
    handle = Unchecked()
    with open_model(AccessRecorderModel()) as device:
        monkeypatch.setattr(device.handle, "open_region", lambda index: handle)
        subject = ready_subject("message", device, "strict-pci")
    assert subject.widths == (1, 2, 3, 4, 5, 6, 7, 8)
    subject.access(False, 0x1FFD, 7, 0)
    assert handle.log == [(0x1FFD, 7)]


def test_what_stands_between_says_its_version(monkeypatch):
    with open_model(AccessRecorderModel()) as device:
        assert through(device) == ""
        monkeypatch.setattr(device.handle, "through", lambda: "QEMU 11.1", raising=False)
        assert through(device) == "QEMU 11.1"


def test_unknown_and_impossible_subjects_are_refused():
    with open_model(AccessRecorderModel()) as device:
        with pytest.raises(BadArgument, match="'hands'"):
            ready_subject("hands", device, "strict-pci")
        with pytest.raises(Unsupported, match="pread"):
            ready_subject("pread", device, "strict-pci")


class Kernel:
    """Records pread and pwrite of a file; cuts none of them, unlike vfio-pci."""

    def __init__(self, monkeypatch):
        self.log = []
        self.fd = os.memfd_create("region")
        os.ftruncate(self.fd, 0x3000)
        pread, pwrite = os.pread, os.pwrite

        def read(fd, size, at):
            data = pread(fd, size, at)
            self.log.append(Seen(at - 0x1000, size, False, int.from_bytes(data, "little")))
            return data

        def write(fd, data, at):
            self.log.append(Seen(at - 0x1000, len(data), True, int.from_bytes(data, "little")))
            return pwrite(fd, data, at)

        monkeypatch.setattr(os, "pread", read)
        monkeypatch.setattr(os, "pwrite", write)

    def take(self):
        log, self.log = self.log, []
        return log


def test_the_file_subject_takes_all_lengths(monkeypatch):
    kernel = Kernel(monkeypatch)
    try:
        subject = file_subject(kernel.fd, 0x1000)
        result = run(subject.access, preset("qemu-ram-device-2023"), kernel, widths=subject.widths)
        assert result.widths == (1, 2, 3, 4, 5, 6, 7, 8)
        assert result.broken == []
        with pytest.raises(OSError, match="1 of 4 bytes"):
            subject.access(False, 0x1FFF, 4, 0)
    finally:
        os.close(kernel.fd)
