"""Status codes: literals from NVMe Base 2.0 §3.3.3.2.1 and what they become."""

from __future__ import annotations

import pytest

from pymmio.errors import PymmioError
from pymmio_drivers.nvme import errors
from pymmio_drivers.nvme.status import STATUS_CODES, describe, is_success, status_error

# (status field without phase: SC 7:0, SCT 10:8, CRD 12:11, M 13, DNR 14; name; exception)
LITERALS = [
    (0x0001, "Invalid Command Opcode", errors.InvalidOpcode),
    (0x0002, "Invalid Field in Command", errors.InvalidField),
    (0x0003, "Command ID Conflict", errors.GenericStatusError),
    (0x0004, "Data Transfer Error", errors.GenericStatusError),
    (0x0006, "Internal Error", errors.GenericStatusError),
    (0x0007, "Command Abort Requested", errors.CommandAborted),
    (0x0008, "Command Aborted due to SQ Deletion", errors.CommandAborted),
    (0x000B, "Invalid Namespace or Format", errors.InvalidNamespace),
    (0x0013, "PRP Offset Invalid", errors.GenericStatusError),
    (0x0020, "Namespace is Write Protected", errors.GenericStatusError),
    (0x0080, "LBA Out of Range", errors.LbaOutOfRange),
    (0x0081, "Capacity Exceeded", errors.GenericStatusError),
    (0x0100, "Completion Queue Invalid", errors.CommandSpecificError),
    (0x0101, "Invalid Queue Identifier", errors.CommandSpecificError),
    (0x0102, "Invalid Queue Size", errors.CommandSpecificError),
    (0x0103, "Abort Command Limit Exceeded", errors.CommandSpecificError),
    (0x0105, "Asynchronous Event Request Limit Exceeded", errors.CommandSpecificError),
    (0x0108, "Invalid Interrupt Vector", errors.CommandSpecificError),
    (0x0109, "Invalid Log Page", errors.CommandSpecificError),
    (0x010A, "Invalid Format", errors.CommandSpecificError),
    (0x010C, "Invalid Queue Deletion", errors.CommandSpecificError),
    (0x010E, "Feature Not Changeable", errors.CommandSpecificError),
    (0x0181, "Invalid Protection Information", errors.CommandSpecificError),
    (0x0182, "Attempted Write to Read Only Range", errors.CommandSpecificError),
    (0x01BC, "Zone Invalid Write", errors.CommandSpecificError),
    (0x0280, "Write Fault", errors.MediaStatusError),
    (0x0281, "Unrecovered Read Error", errors.MediaStatusError),
    (0x0285, "Compare Failure", errors.CompareFailure),
    (0x0287, "Deallocated or Unwritten Logical Block", errors.MediaStatusError),
    (0x0300, "Internal Path Error", errors.PathError),
    (0x0371, "Command Aborted By Host", errors.PathError),
    (0x07C1, "Vendor Specific", errors.VendorStatusError),
    (0x00C5, "Vendor Specific", errors.VendorStatusError),
    (0x0055, "Reserved", errors.GenericStatusError),
    (0x0455, "Reserved", errors.StatusError),
]


@pytest.mark.parametrize(("status", "name", "kind"), LITERALS, ids=lambda v: str(v))
def test_status_becomes_the_exception_of_the_specification(status, name, kind):
    error = status_error(status, "read of nsid 1")
    assert type(error) is kind
    assert error.name == name
    assert str(error).startswith("read of nsid 1: " + name)
    assert (error.sct, error.sc) == (status >> 8, status & 0xFF)


def test_every_known_code_is_a_pymmio_error_with_a_meaning():
    for (sct, sc), (name, meaning) in STATUS_CODES.items():
        error = status_error(sct << 8 | sc, "x")
        assert isinstance(error, errors.StatusError)
        assert isinstance(error, PymmioError)
        assert name
        assert meaning
        assert meaning in str(error)


def test_retry_and_more_bits_do_not_change_the_code():
    error = status_error(0x6080, "write")
    assert type(error) is errors.LbaOutOfRange
    assert error.more
    assert error.do_not_retry
    assert "error_log" in str(error)
    plain = status_error(0x0080, "write")
    assert not plain.more
    assert not plain.do_not_retry


def test_success_is_judged_by_type_and_code_only():
    assert is_success(0)
    assert is_success(0x6000 | 0x1800)
    assert not is_success(0x0100)
    assert not is_success(0x0001)


def test_python_exceptions_that_callers_expect():
    assert isinstance(status_error(0x0080, "x"), IndexError)
    assert isinstance(status_error(0x0002, "x"), ValueError)
    assert isinstance(status_error(0x000B, "x"), LookupError)
    assert issubclass(errors.CommandTimeout, TimeoutError)
    assert describe(0x0000)[0] == "Successful Completion"
