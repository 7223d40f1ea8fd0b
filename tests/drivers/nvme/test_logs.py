"""SMART in units for people, and the log pages about the controller's abilities."""

from __future__ import annotations

import pytest

from pymmio_drivers.nvme import (
    Controller,
    CriticalWarning,
    LogId,
    SmartLog,
    StatusError,
    command_effects,
    log_size,
    supported_logs,
)
from pymmio_drivers.nvme.structures import parse_changed_namespaces


@pytest.fixture
def sim():
    with Controller.open("sim:nvme?size=1M&version=2.0") as ctrl:
        yield ctrl


def smart(*items):
    data = bytearray(512)
    for offset, value in items:
        data[offset : offset + len(value)] = value
    return SmartLog.parse(bytes(data))


def test_temperatures_are_celsius():
    log = smart((1, b"\x43\x01"), (200, b"\x11\x01\0\0\x2f\x01"))
    assert log.temperature_c == 50
    assert log.sensors_c == {1: 0, 3: 30}


def test_counters_have_128_bits_and_count_thousands_of_512_bytes():
    units = (1 << 100).to_bytes(16, "little")
    log = smart((32, units), (48, (3).to_bytes(16, "little")))
    assert log.bytes_read == (1 << 100) * 512_000
    assert log.bytes_written == 1_536_000


@pytest.mark.parametrize(
    ("bit", "warning"),
    [
        (0, CriticalWarning.SPARE_LOW),
        (1, CriticalWarning.TEMPERATURE),
        (2, CriticalWarning.RELIABILITY_DEGRADED),
        (3, CriticalWarning.READ_ONLY),
        (4, CriticalWarning.VOLATILE_BACKUP_FAILED),
        (5, CriticalWarning.PERSISTENT_MEMORY_UNRELIABLE),
    ],
)
def test_critical_warning_bits(bit, warning):
    assert smart((0, bytes([1 << bit]))).warnings == warning


def test_reserved_warning_bits_are_kept():
    assert int(smart((0, b"\xc0")).warnings) == 0xC0


def test_changed_namespaces_end_at_zero():
    data = b"\x02\0\0\0\x05\0\0\0" + bytes(4088)
    assert parse_changed_namespaces(data) == (2, 5)
    assert parse_changed_namespaces(b"\xff" * 4 + bytes(4092)) is None
    assert parse_changed_namespaces(b"\x01\0\0\0" * 1024) == (1,) * 1024


def test_nothing_has_changed(sim):
    assert sim.admin.changed_namespaces() == ()


def test_sizes_of_log_pages(sim):
    sizes = [log_size(sim.identity, lid) for lid in (0, 1, 2, 3, 4, 5, 0xC0)]
    assert sizes == [1024, 64 * 64, 512, 512, 4096, 4096, 512]


def test_commands_that_are_supported_with_their_effects(sim):
    found = {(one.is_io, one.opcode): one for one in command_effects(sim.admin)}
    assert found[False, 0x06].name == "identify"
    assert found[False, 0x80].changes == ("logical blocks",)
    assert found[True, 0x01].as_dict() == {
        "opcode": 1,
        "queue": "io",
        "name": "write",
        "changes": ["logical blocks"],
    }
    assert (True, 0x7F) not in found


def test_supported_pages(sim):
    assert supported_logs(sim.admin) == tuple(range(6))


def test_before_2_0_the_controller_does_not_tell_its_pages():
    with Controller.open("sim:nvme") as ctrl, pytest.raises(StatusError, match="Invalid Log Page"):
        supported_logs(ctrl.admin)


def test_all_known_pages_have_a_size(sim):
    assert all(log_size(sim.identity, lid) % 4 == 0 for lid in LogId)


def test_abort_of_what_is_not_there_is_no_error(sim):
    assert sim.admin.abort(1, 0x55) is False


def test_abort_of_a_queue_that_is_not_there_raises(sim):
    with pytest.raises(StatusError):
        sim.admin.abort(40, 0)
