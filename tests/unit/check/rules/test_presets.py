"""The presets: facts of their sources, subjects that keep them, subjects that must fail."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pymmio.check import rules
from pymmio.check.rules import (
    NAMES,
    DeviceRecorder,
    Verdict,
    preset,
    presets,
    ready_subject,
    run,
)
from pymmio.errors import BadArgument, Misaligned
from pymmio.models.access_recorder import AccessRecorderModel
from pymmio.testing import open_model

FOLDER = Path(rules.__file__).parent


def text(name, width, offset, cell=0):
    return preset(name).cells[cell].reads.expectations[width, offset].text


@pytest.fixture
def device():
    with open_model(AccessRecorderModel()) as opened:
        yield opened


def report(device, name, subject):
    ready = ready_subject(subject, device, name)
    recorder = DeviceRecorder(device)
    return run(ready.access, preset(name), recorder, name=subject, widths=ready.widths)


@pytest.mark.parametrize("name", NAMES)
def test_the_subject_that_must_fail_fails(device, name):
    result = report(device, name, preset(name).must_fail)
    assert result.verdict is Verdict.BROKEN
    assert result.broken


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("strict-pci", "strict"),
        ("linux-io", "strict"),
        ("linux-io", "message"),
        ("zpci", "strict"),
        ("vfio-pci", "split"),
        ("vfio-pci-32", "region"),
        ("qemu-ram-device-2016", "message"),
        ("qemu-ram-device-2023", "message"),
        ("qemu-ram-device-2023", "bytes"),
        ("qemu-ram-device-2026", "split"),
        ("qemu-ram-device-2026", "message"),
        ("qemu-vfio-region-ops", "split"),
        ("nvme", "region"),
    ],
)
def test_subjects_that_keep_a_rule(device, name, subject):
    assert [str(case) for case in report(device, name, subject).broken] == []


# The subjects that no Region can be are written here by hand.
COMMON_FIELDS = {  # virtio 1.2 §4.1.4.3
    0x00: 4, 0x04: 4, 0x08: 4, 0x0C: 4, 0x10: 2, 0x12: 2, 0x14: 1, 0x15: 1, 0x16: 2,
    0x18: 2, 0x1A: 2, 0x1C: 2, 0x1E: 2, 0x20: 4, 0x24: 4, 0x28: 4, 0x2C: 4,
}  # fmt: skip


def test_access_by_fields_keeps_the_rule_of_virtio(device):
    bar = device.region(0)

    def by_field(is_write, offset, width, value):
        if offset % 8 == 0 and offset >= 0x20 and width == 8:
            parts = [(offset, 4), (offset + 4, 4)]
        elif COMMON_FIELDS.get(offset) == width:
            parts = [(offset, width)]
        else:
            raise Misaligned("no field")
        done = 0
        for at, size in parts:
            if is_write:
                bar.write(at, size, value >> 8 * (at - offset) & (1 << 8 * size) - 1)
            else:
                done |= bar.read(at, size) << 8 * (at - offset)
        return None if is_write else done

    result = run(by_field, preset("virtio-common"), DeviceRecorder(device))
    assert [str(case) for case in result.broken] == []
    assert len(result.widths) == 8


def test_the_lowest_set_bit_keeps_the_rule_of_tcg(device):
    handle = device.handle.open_region(0)

    def as_tcg(is_write, offset, width, value):
        at, done = offset, 0
        while at < offset + width:
            left = min(offset + width, (at // 0x1000 + 1) * 0x1000) - at  # a page at a time
            size = (left | at | 8) & -(left | at | 8)
            shift = 8 * (at - offset)
            if is_write:
                handle.write(at, size, value >> shift & (1 << 8 * size) - 1)
            else:
                done |= handle.read(at, size) << shift
            at += size
        return None if is_write else done

    result = run(as_tcg, preset("qemu-vfio-region-ops-tcg"), DeviceRecorder(device))
    assert [str(case) for case in result.broken] == []


# Seen by a recorder behind vfio-user with QEMU 11.1: qtest, then a TCG guest.
@pytest.mark.parametrize(
    ("width", "offset", "by_qtest", "by_tcg"),
    [
        (2, 1, "11", "11"),
        (4, 1, "121", "1111"),
        (4, 2, "22", "22"),
        (4, 3, "121", "1111"),
        (8, 1, "1241", "1*8"),
        (8, 2, "242", "2222"),
        (8, 4, "44", "44"),
        (8, 7, "1421", "1*8"),
    ],
)
def test_tables_of_region_ops_are_what_was_seen(width, offset, by_qtest, by_tcg):
    assert text("qemu-vfio-region-ops", width, offset) == by_qtest
    assert text("qemu-vfio-region-ops-tcg", width, offset) == by_tcg


@pytest.mark.parametrize(
    ("name", "width", "offset", "expected"),
    [
        ("vfio-pci", 8, 8, "8"),
        ("vfio-pci", 7, 1, "124"),
        ("vfio-pci", 8, 9, "1241"),
        ("vfio-pci-32", 8, 8, "44"),
        ("qemu-ram-device-2016", 8, 13, "8"),
        ("qemu-ram-device-2016", 7, 3, "421"),
        ("qemu-ram-device-2023", 4, 0, "~"),
        ("qemu-ram-device-2026", 4, 0, "4"),
        ("qemu-ram-device-2026", 4, 1, "~"),
        ("zpci", 4, 4, "4"),
        ("zpci", 4, 5, "-"),
        ("zpci", 2, 5, "2|-"),
        ("zpci", 8, 4, "-"),
        ("linux-io", 8, 0, "8|44|44r"),
        ("linux-io", 4, 1, "4|-"),
        ("strict-pci", 2, 1, "-"),
    ],
)
def test_single_fields_are_what_the_sources_say(name, width, offset, expected):
    assert text(name, width, offset) == expected


def test_nvme_registers_have_their_native_widths():
    # NVMe Base 1.4 §3.1: CAP at 0x00, ASQ at 0x28, ACQ at 0x30 have 64 bits
    wide = {
        cell.base + offset
        for cell in preset("nvme").cells
        for (width, offset), expected in cell.reads.expectations.items()
        if width == 8 and "8" in expected.text
    }
    assert wide == {0x00, 0x28, 0x30}
    assert text("nvme", 1, 0) == text("nvme", 2, 0) == "-"


@pytest.mark.parametrize("one", presets(), ids=lambda one: one.name)
def test_a_preset_says_where_it_comes_from(one):
    assert one.sources
    assert all(source.where and source.says for source in one.sources)
    assert one.must_fail in rules.SUBJECTS


def test_cells_at_page_edges_are_asked_for():
    bases = [cell.base for cell in preset("strict-pci").cells]
    assert bases == [0x0, 0xFF0, 0x1000]


def test_a_rule_that_is_not_there_is_named():
    with pytest.raises(BadArgument, match="'loose'"):
        preset("loose")


def test_presets_do_not_know_the_rule_engine_of_the_product():
    for path in [*(FOLDER / "presets").glob("*.py"), FOLDER / "table.py"]:
        names = {
            getattr(node, "module", "") or ""
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
        }
        assert not [name for name in names if name.startswith(("pymmio.mmio", "pymmio.device"))]
