"""The NVMe driver on QEMU's controller, behind an IOMMU, by real vfio-pci."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from pymmio.errors import BufferBusy
from pymmio_drivers.nvme import (
    CommandAborted,
    CommandTimeout,
    CompareFailure,
    Controller,
    FeatureId,
    InvalidNamespace,
    LbaOutOfRange,
    State,
    StatusError,
)
from pymmio_drivers.nvme.command import flush, get_features, sqe
from pymmio_drivers.nvme.request import Command
from tests.drivers.nvme.raw import status_of
from tests.drivers.nvme_status_cases import CASES
from tests.guest.case import case
from tests.guest.inside import (
    NVME,
    Function,
    bind_vfio,
    bound_to_vfio,
    find_function,
    give_back,
    wait_until,
)
from tests.guest.interfaces import by_interface, uri_of

MIB = 1 << 20
HOW = ("polling", "msix")


def _mode(how: str) -> str | None:
    return None if how == "polling" else how


@contextmanager
def _controller(how: str = "msix", **options: object) -> Iterator[Controller]:
    with bound_to_vfio(NVME) as function:
        uri = uri_of(function.address)
        with Controller.open(uri, interrupts=_mode(how), **options) as ctrl:  # type: ignore[arg-type]
            yield ctrl


def _pattern(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@by_interface()
@case(timeout_s=60, params=HOW)
def case_nvme_identifies_itself(how: str) -> None:
    with _controller(how) as ctrl:
        assert (ctrl.identity.vid, ctrl.identity.sn) == (0x1B36, "pymmio-0")
        assert ctrl.interrupts == how
        assert list(ctrl.namespaces) == [1]
        ns = ctrl.namespaces[1]
        assert ns.size == 256 * MIB
        assert ctrl.admin.smart_log().composite_temperature > 200
        if how == "msix":
            assert ctrl.device.irqs.msix.enabled == 2


@by_interface()
@case(timeout_s=60)
def case_nvme_by_the_interrupt_pin() -> None:
    with _controller("intx") as ctrl:
        ns = ctrl.namespaces[1]
        for lba in range(0, 80, 8):
            ns.write_bytes(_pattern(lba, 4096), lba=lba)
            assert ns.read_bytes(lba=lba, blocks=4096 // ns.block_size) == _pattern(lba, 4096)


@by_interface(guests=("default",))
@case(timeout_s=60, params=("mapped", "pread"))
def case_nvme_by_each_way_of_access(access: str) -> None:
    with _controller("msix", access=access) as ctrl:
        ways = {doorbell.way for doorbell in ctrl.io_queues[0].engine.doorbells}
        assert ways == {"mapped" if access == "mapped" else "syscall"}
        ns = ctrl.namespaces[1]
        ns.write_bytes(_pattern(9, 65536), lba=0)
        assert ns.read_bytes(lba=0, blocks=65536 // ns.block_size) == _pattern(9, 65536)


@by_interface()
@case(timeout_s=120, params=HOW)
def case_nvme_keeps_16_mib(how: str) -> None:
    data = _pattern(1, 16 * MIB)
    with _controller(how) as ctrl:
        ns = ctrl.namespaces[1]
        with ctrl.alloc(len(data)) as buffer, ctrl.alloc(len(data)) as target:
            with memoryview(buffer) as view:
                view[:] = data
            ns.write(buffer, lba=2048)
            ns.flush()
            ns.read(target, lba=2048)
            with memoryview(target) as view:
                assert view == data
            ns.compare(buffer[:65536], lba=2048)
            requests = [
                ns.read_async(target[at : at + 65536], lba=2048 + at // ns.block_size)
                for at in range(0, MIB, 65536)
            ]
            for request in requests:
                request.result(30)


@by_interface("cdev", guests=("default",))
@case(timeout_s=60, params=HOW)
def case_nvme_errors_are_exceptions(how: str) -> None:
    with _controller(how) as ctrl:
        ns = ctrl.namespaces[1]
        for nsid, lba, kind in ((1, ns.block_count, LbaOutOfRange), (2, 0, StatusError)):
            with ctrl.alloc(4096) as buffer:  # sent as they are: the driver would refuse them
                request = ctrl.io_request("read", (buffer,))
                entry = sqe(2, nsid=nsid, cdw10=lba & 0xFFFFFFFF, cdw11=lba >> 32)
                ctrl.send(request, [Command(request, entry, buffer.iova, ns.block_size)])
                assert isinstance(request.exception(30), kind), request.exception()
        request = ctrl.io_request("flush", ())
        ctrl.send(request, [Command(request, flush(0x10000))])
        assert isinstance(request.exception(30), InvalidNamespace)
        try:
            ns.read_bytes(lba=ns.block_count, blocks=1)
            raise AssertionError("a read beyond the end was sent")
        except LbaOutOfRange:
            pass
        with ctrl.alloc(4096) as buffer:
            ns.write_bytes(bytes(4096), lba=0)
            with memoryview(buffer) as view:
                view[:] = b"\x01" * 4096
            try:
                ns.compare(buffer, lba=0)
                raise AssertionError("different blocks compared equal")
            except CompareFailure:
                pass
        ns.write_zeroes(lba=0, blocks=8)
        ns.deallocate([(0, 8), (16, 8)])


@by_interface(guests=("default",))
@case(timeout_s=120, params=HOW)
def case_nvme_controller_reset_in_the_middle_of_io(how: str) -> None:
    with _controller(how) as ctrl:
        ns = ctrl.namespaces[1]
        with ctrl.alloc(4096) as buffer:
            for round_ in range(1, 4):
                ns.write_bytes(_pattern(round_, 4096), lba=64)
                ctrl.device.disable_bus_master()  # it cannot fetch what the doorbell tells
                request = ns.read_async(buffer, lba=64)
                try:
                    request.result(0.3)
                    raise AssertionError("a command ended that could not be fetched")
                except TimeoutError:
                    assert not request.done()
                ctrl.reset()
                error = request.exception(30)
                assert isinstance(error, CommandAborted), error
                assert ctrl.resets == round_
                blocks = 4096 // ns.block_size
                assert ns.read_bytes(lba=64, blocks=blocks) == _pattern(round_, 4096)


@by_interface(guests=("default",))
@case(timeout_s=120, params=HOW)
def case_nvme_controller_reset_races_with_a_flush(how: str) -> None:
    with _controller(how) as ctrl:
        ns = ctrl.namespaces[1]
        with ctrl.alloc(8 * MIB) as buffer:
            for round_ in range(1, 6):
                with memoryview(buffer) as view:
                    view[:4096] = _pattern(round_, 4096)
                ns.write(buffer, lba=64 * 2048)
                request = ns.flush_async()  # takes as long as the host needs to sync the image
                # QEMU 7.2 dies of a reset that comes before it has fetched all entries.  It looks
                # at doorbells in order: when this command is done it has them.
                probe = ctrl.admin.start(get_features(FeatureId.ARBITRATION), "probe", timeout_s=10)
                while not probe.done():
                    ctrl.poll()
                ctrl.reset()
                error = request.exception(30)  # whichever of the two came first
                assert error is None or isinstance(error, CommandAborted), error
                blocks = 4096 // ns.block_size
                assert ns.read_bytes(lba=64 * 2048, blocks=blocks) == _pattern(round_, 4096)
        assert ctrl.resets == 5


@by_interface("cdev", guests=("default",))
@case(timeout_s=120, params=HOW)
def case_nvme_time_out_in_the_middle_of_io(how: str) -> None:
    options = {"timeout_s": 0.5, "admin_timeout_s": 5.0, "abort_grace_s": 0.3}
    with _controller(how, **options) as ctrl:
        ns = ctrl.namespaces[1]
        ns.write_bytes(_pattern(3, 4096), lba=0)
        buffer = ctrl.alloc(4096)
        ctrl.device.disable_bus_master()  # it can no longer fetch what the doorbell tells
        request = ns.read_async(buffer, lba=0)
        try:
            buffer.close()
            raise AssertionError("memory of the device was given back")
        except BufferBusy:
            pass
        error = request.exception(60)
        assert isinstance(error, CommandTimeout), error
        assert ns.read_bytes(lba=0, blocks=4096 // ns.block_size) == _pattern(3, 4096)
        assert ctrl.resets == 1
        assert ctrl.state is State.READY
        assert bytes(buffer) == bytes(4096)
        buffer.close()


@by_interface("cdev", guests=("default",))
@case(timeout_s=120, params=HOW)
def case_nvme_aborts_race_with_completions(how: str) -> None:
    with _controller(how) as ctrl:
        ns = ctrl.namespaces[1]
        with ctrl.alloc(4 * MIB) as buffer:
            requests = [
                ns.read_async(buffer[at : at + 65536], lba=at // ns.block_size)
                for at in range(0, 4 * MIB, 65536)
            ]
            for request in requests:
                ctrl.abort(request)
            for request in requests:
                error = request.exception(30)
                assert error is None or isinstance(error, CommandAborted), error
        assert ctrl.resets == 0


@by_interface(guests=("default",))
@case(timeout_s=120, params=HOW)
def case_nvme_can_be_closed_and_opened_again(how: str) -> None:
    with bound_to_vfio(NVME) as function:
        for round_ in range(4):
            uri = uri_of(function.address)
            with Controller.open(uri, interrupts=_mode(how), queues=1 + round_ % 2) as ctrl:
                ns = ctrl.namespaces[1]
                if round_:
                    assert ns.read_bytes(lba=8, blocks=8) == _pattern(round_ - 1, 8 * ns.block_size)
                ns.write_bytes(_pattern(round_, 8 * ns.block_size), lba=8)


@by_interface(guests=("default",))
@case(timeout_s=120)
def case_nvme_killed_in_the_middle_of_io_can_be_taken_again() -> None:
    with bound_to_vfio(NVME) as function:
        uri = uri_of(function.address)
        for _ in range(2):
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                _io_for_ever(uri, writing)
            os.close(writing)
            assert os.read(reading, 1) == b"x"
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            os.close(reading)
            assert os.WTERMSIG(status) == signal.SIGKILL
            with Controller.open(uri) as ctrl:
                ns = ctrl.namespaces[1]
                ns.write_bytes(_pattern(5, 65536), lba=0)
                assert ns.read_bytes(lba=0, blocks=65536 // ns.block_size) == _pattern(5, 65536)


def _io_for_ever(uri: str, writing: int) -> NoReturn:
    """Keep commands in flight and write a byte each 20 ms, until killed."""
    try:
        ctrl = Controller.open(uri, queues=2)
        ctrl.namespaces[1].measure(
            rw="randrw",
            seconds=60,
            first_lba=64 * 2048,
            blocks=8 * 2048,
            progress=lambda share: bool(os.write(writing, b"x")) and None,
        )
    finally:
        os._exit(1)


@by_interface(guests=("default",))
@case(timeout_s=120)
def case_nvme_linux_reads_what_pymmio_wrote_and_the_other_way_round() -> None:
    function = find_function(NVME)
    offset, size = 32 * MIB, 4 * MIB
    bind_vfio(function)
    try:
        with Controller.open(uri_of(function.address)) as ctrl:
            ns = ctrl.namespaces[1]
            ns.write_bytes(_pattern(6, size), lba=offset // ns.block_size)
            ns.flush()
    finally:
        assert give_back(function) == "nvme"
    disk = _block_device(function)
    fd = os.open(disk, os.O_RDWR)
    try:
        assert os.pread(fd, size, offset) == _pattern(6, size)
        assert os.pwrite(fd, _pattern(7, size), offset + size) == size
        os.fsync(fd)
    finally:
        os.close(fd)
    with bound_to_vfio(NVME), Controller.open(uri_of(function.address)) as ctrl:
        ns = ctrl.namespaces[1]
        lba = (offset + size) // ns.block_size
        assert ns.read_bytes(lba=lba, blocks=size // ns.block_size) == _pattern(7, size)


def _block_device(function: Function) -> Path:
    """Return the node of the namespace, once the kernel has made it."""
    found: list[Path] = []

    def look() -> bool:
        found[:] = [Path("/dev") / path.name for path in function.path.glob("nvme/nvme*/nvme*n1")]
        return bool(found) and found[0].exists()

    wait_until(look, 10.0, "the kernel's block device")
    return found[0]


@by_interface("cdev", guests=("default",))
@case(timeout_s=60)
def case_nvme_status_codes_are_those_that_the_model_is_compared_with() -> None:
    different = {}
    with _controller("msix") as ctrl:
        for one in CASES:
            expected = one.expected if one.qemu == "same" else one.qemu
            if expected == "skip":
                continue
            found = status_of(ctrl, one)
            if found != expected:
                different[one.name] = (hex(found), hex(expected))
        assert ctrl.resets == 0
    assert not different, different


@by_interface("cdev", guests=("default",))
@case(timeout_s=60, params=HOW)
def case_nvme_measured_run(how: str) -> None:
    with _controller(how) as ctrl:
        result = ctrl.namespaces[1].measure(rw="randread", count=2000, queue_depth=32)
        assert (result.commands, result.errors) == (2000, 0)
        print(result.as_dict())
