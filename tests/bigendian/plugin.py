"""A pytest plugin of the runs under qemu-user: what is left out, each with its reason.

``LEFT_OUT`` names folders, files or single tests (without their parameters).  Whatever is not
named here runs; a name that matches nothing is an error, so that the list cannot rot.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable

import pytest

from pymmio.handle import Access
from pymmio.mmio import Mapping
from tests.bigendian.mio import Emulator

_VFIO = "tests/unit/backend/vfio"
_MAPPING = "tests/unit/mmio/test_mapping.py"
_CHECK = "tests/unit/check/accessors"
_PROOF = "the recorder of accesses does not see through qemu-user; tests/arch is the proof here"
_MATPLOTLIB = "matplotlib is machine code of the host; nothing of ours is in what it draws"
LEFT_OUT = {
    f"{_VFIO}/test_descriptor.py::test_a_forked_child_lets_go_and_the_number_stays_harmless": (
        "qemu-user opens the folder of the unpacked Python in place of /"
    ),
    f"{_VFIO}/test_kernel.py::test_ioctl_raises_the_kernels_errno": (
        "qemu-user answers ioctls that it does not know by itself, with ENOSYS"
    ),
    f"{_MAPPING}::test_in_a_forked_child_the_memory_is_not_there": (
        "qemu-user ignores MADV_DONTFORK"
    ),
    "tests/unit/pci/test_watch.py::test_the_real_monitor_starts_without_rights": (
        "ctypes looks for libudev in the linker's cache, which is that of the host"
    ),
    "tests/unit/doctor/test_read_only.py::test_the_kernel_is_asked_for_nothing_but_reading": (
        "strace would watch qemu-user"
    ),
    **dict.fromkeys(
        (
            f"tests/unit/backend/vfio_user/{name}"
            for name in (
                "test_device.py::test_a_descriptor_that_cannot_be_mapped_is_unsupported",
                "test_device.py::test_a_part_that_can_be_mapped_needs_no_message",
                "test_connection.py::test_a_lost_server_turns_everybody_away_while_nobody_asks",
            )
        ),
        "on s390x what is not PCI memory is not mapped: all of it goes by messages",
    ),
    **dict.fromkeys(
        (
            "tests/contract/test_broken_backends.py::test_a_broken_backend_is_noticed",
            "tests/contract/test_faults.py::test_faults_in_a_child",
            "tests/contract/test_sim.py::test_a_child_of_a_process_with_threads_opens_a_device",
            "tests/contract/test_vfio_user.py::test_a_child_opens_the_device",
            "tests/unit/backend/qtest/test_process.py"
            "::test_a_forked_child_has_a_thread_of_its_own_and_ends_nothing",
        ),
        "qemu-user ends itself (qemu_plugin_vcpu_init_hook) when a forked child starts a thread",
    ),
    **dict.fromkeys(
        (
            f"tests/unit/dax/test_plain_memory.py::{name}"
            for name in (
                "test_a_bad_page_is_an_error_with_the_range",
                "test_threads_meet_their_own_errors",
            )
        ),
        "a SIGBUS inside glibc's copy ends the process under qemu-user; tests/s390x has a kernel's",
    ),
    "tests/contract/test_broken_backends.py": (
        "the child of a fork in which a check is judged says nothing under qemu-user; that the "
        "checks notice faults is no matter of byte order"
    ),
    "tests/unit/regs/test_typing.py": "mypy looks at types, in which there is no byte order",
    **dict.fromkeys(
        (
            f"tests/unit/models/test_nvme_io.py::{name}"
            for name in (
                "test_uncorrectable_blocks_are_limited",
                "test_large_sparse_namespaces_cost_nothing",
            )
        ),
        "qemu-user keeps a record of each page that is mapped: 1 TiB takes it 13 GB of memory",
    ),
    "tests/unit/cli/nvme/test_plot.py": _MATPLOTLIB,
    "tests/unit/cli/test_examples.py::test_examples_without_hardware_run": _MATPLOTLIB,
    f"{_CHECK}/test_prove.py": _PROOF,
    f"{_CHECK}/test_emulator.py::test_both_recorders_agree_on_what_is_known": _PROOF,
    **dict.fromkeys(
        (
            f"{_CHECK}/test_dynamic.py::{name}"
            for name in (
                "test_a_subject_that_misbehaves_is_unproven_and_the_next_goes_on",
                "test_a_subject_that_prints_is_heard_none_the_less",
                "test_a_subject_that_touches_nothing_is_unproven",
                "test_an_access_of_the_kernel_is_unproven",
                "test_one_access_is_exact",
                "test_what_breaks_the_rule_is_told_apart",
            )
        ),
        _PROOF,
    ),
    **dict.fromkeys(
        (
            f"tests/unit/cli/check/test_accessors.py::{name}"
            for name in (
                "test_a_function_of_a_shared_object",
                "test_a_function_of_python",
                "test_a_subject_that_breaks_the_rule_ends_with_1",
                "test_pymmio_is_exact_and_scripts_can_rely_on_the_names",
            )
        ),
        _PROOF,
    ),
}
_SIGNALS = "says which signal it was; tests/bigendian/cases says the same for errnos"
LEFT_OUT_OF_WAYS = {
    "tests/unit/mmio/test_recorded.py::test_a_view_is_noted_as_it_cannot_be_seen_into": (
        "plain bytes are refused in these ways, which tests/bigendian/cases looks at"
    ),
    f"{_MAPPING}::test_a_plain_view_keeps_the_mapping_from_closing": (
        "plain bytes are refused in these ways, which tests/bigendian/cases looks at"
    ),
    f"{_MAPPING}::test_a_truncated_file_is_an_access_fault_and_works_again_afterwards": _SIGNALS,
    f"{_MAPPING}::test_a_read_only_mapping_refuses_stores_and_keeps_what_the_machine_said": (
        _SIGNALS
    ),
}
EMULATED = os.environ.get("EMULATED_MACHINE", "s390x")
FORCED_WAY = os.environ.get("FORCED_WAY")
OPERATIONS = {"mio": {"PCILGI", "PCISTGI"}, "syscall": {"353", "352"}}


def _eventfd_read(fd: int, read: Callable[[int], int] = os.eventfd_read) -> int:
    """Undo what qemu-user makes of events that were added by a descriptor from a socket.

    It swaps what is written to and read from an eventfd of its own making, but not what goes by
    a descriptor that came over a socket, which it does not know: one event then counts 2 to the 56.
    """
    count = read(fd)
    return count if count % (1 << 56) else count >> 56


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run where the run would prove nothing."""
    if sys.byteorder == "big":
        os.eventfd_read = _eventfd_read
    if platform.machine() != EMULATED:
        raise pytest.UsageError(
            f"this is no Python for {EMULATED}: use python -m tests.bigendian.run"
        )
    if EMULATED == "s390x" and sys.byteorder != "big":
        raise pytest.UsageError("this is no big-endian Python")
    if FORCED_WAY:
        for function in (Mapping.__init__, Mapping.of_file.__func__):  # type: ignore[attr-defined]
            function.__kwdefaults__["access"] = Access(FORCED_WAY)  # type: ignore[index]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run whose accesses were not made in the way that it is about."""
    if not FORCED_WAY:
        return
    seen = {name for name, _ in Emulator().before}
    other = "syscall" if FORCED_WAY == "mio" else "mio"
    if not seen >= OPERATIONS[FORCED_WAY] or seen & OPERATIONS[other]:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR  # no test: not to be run once more


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was executed."""
    if FORCED_WAY:
        terminalreporter.write_line(f"executed: {dict(sorted(Emulator().before.items()))}")


def _reason(item: pytest.Item) -> str | None:
    name = item.nodeid.split("[", 1)[0]
    for prefix, reason in (LEFT_OUT | (LEFT_OUT_OF_WAYS if FORCED_WAY else {})).items():
        if name == prefix or name.startswith((prefix + "/", prefix + "::")):
            return reason
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is named."""
    left_out = [item for item in items if _reason(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _reason(item)]
