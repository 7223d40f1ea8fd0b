"""Reads, writes and the rest, on any controller."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from concurrent.futures import wait

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from pymmio.errors import BadArgument, BufferBusy, Closed, DeviceNotFound, Unsupported
from pymmio_drivers.nvme import (
    BufferMisaligned,
    BufferReadOnly,
    BufferSizeMismatch,
    CompareFailure,
    Controller,
    InvalidNamespace,
    LbaOutOfRange,
    MediaStatusError,
    NamespaceNotFound,
    NotDmaMemory,
    Range,
)
from pymmio_drivers.nvme.namespace import Namespace
from tests.drivers.nvme.conftest import model_of
from tests.examples import examples


def fill(buffer, data):
    with memoryview(buffer) as view:
        view[: len(data)] = data


def test_size_is_blocks_times_block_size(ns):
    assert ns.size == ns.block_size * ns.block_count
    assert ns.block_size in (512, 4096)


def test_what_is_written_is_read(ctrl, ns):
    data = os.urandom(16 * ns.block_size)
    with ctrl.alloc(len(data)) as source, ctrl.alloc(len(data)) as target:
        fill(source, data)
        ns.write(source, lba=5)
        ns.read(target, lba=5)
        assert bytes(target) == data
        ns.flush()


def test_long_transfer_is_split_and_arrives_in_order(ctrl, ns):
    size = 3 * ctrl.max_transfer + ns.block_size
    data = os.urandom(size)
    ns.write_bytes(data, lba=1)
    with ctrl.alloc(size) as target:
        ns.read(target, lba=1)
        assert bytes(target) == data
    assert ns.read_bytes(lba=1, blocks=size // ns.block_size) == data


def test_views_of_a_buffer_have_their_own_place(ctrl, ns):
    size = ns.block_size
    with ctrl.alloc(8 * size) as buffer:
        for index in range(8):
            fill(buffer[index * size : (index + 1) * size], bytes([index]) * size)
        ns.write(buffer[3 * size : 5 * size], lba=0)
        ns.read(buffer[6 * size : 8 * size], lba=0)
        assert bytes(buffer)[6 * size :] == bytes([3]) * size + bytes([4]) * size


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    offset=st.integers(0, 4095).map(lambda n: 4 * n),
    blocks=st.integers(1, 300),
    lba=st.integers(0, 1000),
    seed=st.integers(0, 2**32),
)
def test_any_dword_aligned_place_works(tmp_controller, offset, blocks, lba, seed):
    ctrl = tmp_controller
    ns = ctrl.namespaces[1]
    pattern = random.Random(seed).randbytes(blocks * ns.block_size)
    with ctrl.alloc(offset + len(pattern) + 64) as buffer:
        fill(buffer[offset : offset + len(pattern)], pattern)
        ns.write(buffer[offset : offset + len(pattern)], lba=lba)
        fill(buffer, bytes(buffer.size))
        ns.read(buffer[offset : offset + len(pattern)], lba=lba)
        assert bytes(buffer) == bytes(offset) + pattern + bytes(64)


@pytest.fixture(scope="module")
def tmp_controller():
    """Transfers up to 8 MiB: PRP lists of several pages."""
    uri = "sim:nvme?size=64M&mdts=0"
    with Controller.open(uri, max_transfer_bytes=8 << 20, depth=8) as found:
        yield found


def test_one_command_with_a_prp_list_of_several_pages(tmp_controller):
    ns = tmp_controller.namespaces[1]
    data = os.urandom(5 << 20)
    with tmp_controller.alloc(len(data) + 8) as buffer:
        fill(buffer[8 : 8 + len(data)], data)
        before = tmp_controller.admin.smart_log().host_write_commands
        ns.write(buffer[8 : 8 + len(data)], lba=0)
        assert tmp_controller.admin.smart_log().host_write_commands == before + 1
    assert ns.read_bytes(lba=0, blocks=len(data) // 512) == data


def test_ordinary_memory_is_filled_in_place(ns):
    data = os.urandom((1 << 20) + 3 * ns.block_size)
    ns.write_bytes(memoryview(data), lba=2)
    target = bytearray(len(data))
    ns.read_into(target, lba=2)
    assert target == data


def test_flag_for_the_media_itself(ctrl, ns):
    with ctrl.alloc(ns.block_size) as buffer:
        ns.write(buffer, lba=0, fua=True)
        ns.read(buffer, lba=0, fua=True)


def test_compare_tells_equal_from_different(ctrl, ns):
    with ctrl.alloc(2 * ns.block_size) as buffer:
        fill(buffer, os.urandom(buffer.size))
        ns.write(buffer, lba=9)
        ns.compare(buffer, lba=9)
        fill(buffer[ns.block_size : ns.block_size + 4], b"\xff\0\xff\0")
        with pytest.raises(CompareFailure) as caught:
            ns.compare(buffer, lba=9)
        assert isinstance(caught.value, MediaStatusError)
        assert caught.value.status & 0x7FF == 0x285


def test_write_zeroes_and_deallocate(ns):
    ns.write_bytes(b"\xaa" * 8 * ns.block_size, lba=0)
    ns.write_zeroes(lba=2, blocks=3)
    data = ns.read_bytes(lba=0, blocks=8)
    assert data == b"\xaa" * 2 * ns.block_size + bytes(3 * ns.block_size) + b"\xaa" * (
        3 * ns.block_size
    )
    ns.deallocate([(0, 2), Range(6, 2)])
    kept = ns.read_bytes(lba=0, blocks=8)[2 * ns.block_size : 6 * ns.block_size]
    assert kept == data[2 * ns.block_size : 6 * ns.block_size]


def test_write_zeroes_of_more_than_65536_blocks(ns):
    if ns.block_count < 70_000:
        pytest.skip("the namespace is too small")
    ns.write_bytes(b"\xaa" * ns.block_size, lba=69_999)
    ns.write_zeroes(lba=0, blocks=70_000)
    assert ns.read_bytes(lba=69_999, blocks=1) == bytes(ns.block_size)


# --- refused before anything is sent --------------------------------------------------------


@pytest.fixture
def untouched(ctrl):
    """Fails the test if a command was sent in it."""
    queue = ctrl.io_queues[0]
    events = queue.engine.events()
    yield
    assert queue.engine.events() == events


@pytest.mark.usefixtures("untouched")
class TestRefused:
    def test_lba_beyond_the_end(self, ctrl, ns):
        with ctrl.alloc(2 * ns.block_size) as buffer:
            for verb in (ns.read, ns.write):
                with pytest.raises(LbaOutOfRange) as caught:
                    verb(buffer, lba=ns.block_count - 1)
                assert isinstance(caught.value, IndexError)
        with pytest.raises(LbaOutOfRange):
            ns.read_bytes(lba=ns.block_count, blocks=1)
        with pytest.raises(LbaOutOfRange):
            ns.write_bytes(bytes(ns.block_size), lba=1 << 63)
        with pytest.raises(LbaOutOfRange):
            ns.deallocate([(0, ns.block_count + 1)])

    def test_negative_numbers(self, ctrl, ns):
        with ctrl.alloc(4096) as buffer, pytest.raises(BadArgument):
            ns.read(buffer, lba=-1)
        with pytest.raises(BadArgument):
            ns.read_bytes(lba=0, blocks=0)

    def test_memory_that_the_device_cannot_reach(self, ns):
        for memory in (bytearray(4096), b"x" * 4096, memoryview(bytearray(512)), None):
            with pytest.raises(NotDmaMemory) as caught:
                ns.read(memory, lba=0)
            assert isinstance(caught.value, TypeError)

    def test_read_only_memory(self, ns):
        for memory in (bytes(ns.block_size), memoryview(bytearray(ns.block_size)).toreadonly()):
            with pytest.raises(BufferReadOnly):
                ns.read_into(memory, lba=0)

    def test_buffer_of_another_device(self, ns):
        with Controller.open("sim:nvme?size=16M") as other, other.alloc(4096) as buffer:
            with pytest.raises(NotDmaMemory, match="another device"):
                ns.read(buffer, lba=0)

    def test_buffer_that_is_too_small(self, ctrl, ns):
        with ctrl.alloc(ns.block_size) as buffer, pytest.raises(BufferSizeMismatch):
            ns.read(buffer, lba=0, blocks=2)

    def test_no_whole_number_of_blocks(self, ctrl, ns):
        with ctrl.alloc(ns.block_size + 4) as buffer, pytest.raises(BufferSizeMismatch):
            ns.write(buffer, lba=0)
        with pytest.raises(BufferSizeMismatch):
            ns.write_bytes(b"x", lba=0)
        with pytest.raises(BufferSizeMismatch):
            ns.write_bytes(b"", lba=0)

    def test_buffer_at_an_odd_address(self, ctrl, ns):
        with ctrl.alloc(2 * ns.block_size) as buffer, pytest.raises(BufferMisaligned):
            ns.read(buffer[2 : 2 + ns.block_size], lba=0)

    def test_closed_buffer(self, ctrl, ns):
        buffer = ctrl.alloc(4096)
        buffer.close()
        with pytest.raises(Closed):
            ns.read(buffer, lba=0, blocks=1)

    def test_too_many_ranges(self, ns):
        with pytest.raises(BadArgument):
            ns.deallocate([(0, 1)] * 257)
        with pytest.raises(BadArgument):
            ns.deallocate([])

    def test_measure_with_arguments_that_make_no_sense(self, ctrl, ns):
        for wrong, said in (
            ({"rw": "sideways"}, "'sideways' is unknown"),
            ({"block_size": ns.block_size + 1}, "no whole blocks"),
            ({"queue_depth": 0}, "0 at once"),
            ({"queue_depth": ctrl.io_queues[0].depth}, "at once"),
            ({"block_size": 2 * ctrl.max_transfer}, "at once"),
        ):
            with pytest.raises(BadArgument, match=said):
                ns.measure(**wrong)
        for wrong, said in (
            ({"first_lba": ns.block_count}, "0 blocks from lba"),
            ({"first_lba": ns.block_count + 5}, "0 blocks from lba"),
            ({"first_lba": -1}, "do not lie inside nsid 1"),
            ({"blocks": ns.block_count + 1}, "do not lie inside nsid 1"),
            ({"blocks": 1, "block_size": 2 * ns.block_size}, "do not fit 1 blocks"),
        ):
            with pytest.raises(LbaOutOfRange, match=said):
                ns.measure(**wrong)


def test_namespace_that_is_not_active(ctrl):
    with pytest.raises(NamespaceNotFound, match=r"no active namespace 77. Active: 1") as caught:
        ctrl.namespaces[77]
    assert isinstance(caught.value, DeviceNotFound)
    assert isinstance(caught.value, KeyError)
    assert ctrl.namespaces.get(77) is None
    assert 77 not in ctrl.namespaces
    with pytest.raises(InvalidNamespace, match="namespace 200 has no blocks"):
        Namespace(ctrl, 200, ctrl.admin.identify_namespace(200))


def test_format_with_metadata_is_refused(ctrl):
    identity = ctrl.admin.identify_namespace(1)
    formats = list(identity.lbaf)
    formats[identity.format_index] = type(formats[0])(ms=8, lbads=9)
    ns = Namespace(ctrl, 1, identity.replace(lbaf=formats, dps=1))
    with pytest.raises(Unsupported, match="8 bytes of metadata a block, protection"):
        ns.read_bytes(lba=0, blocks=1)
    ns.flush()


# --- futures --------------------------------------------------------------------------------


def test_requests_are_futures(ctrl, ns):
    with ctrl.alloc(32 * ns.block_size) as buffer:
        requests = [
            ns.write_async(buffer[i * ns.block_size : (i + 1) * ns.block_size], lba=i)
            for i in range(32)
        ]
        done, pending = wait(requests, timeout=30)
        assert not pending
        assert all(r.result().latency_ns > 0 for r in done)
        assert all(r.exception() is None for r in done)


def test_callbacks_run_in_the_interrupt_thread_also_while_others_wait():
    with Controller.open("sim:nvme?size=16M", interrupts="msix") as ctrl:
        ns, names, buffer = ctrl.namespaces[1], [], ctrl.alloc(4096)
        hooks = model_of(ctrl).hooks
        for round_ in range(1, 21):
            hooks.hold(lambda qid, command: qid == 1 and command.opcode == 0)
            request = ns.flush_async()
            request.add_done_callback(lambda _: names.append(threading.current_thread().name))
            releasing = threading.Thread(target=hooks.release, daemon=True)
            releasing.start()
            end = time.monotonic() + 20
            while len(names) < round_:
                assert time.monotonic() < end
                ns.read(buffer, lba=0)
            releasing.join(20)
        assert all("vector 1" in name for name in names), names


def test_blocking_calls_of_many_threads_share_a_queue(nvme_uri):
    for interrupts in ("msix", None):
        with Controller.open(nvme_uri, interrupts=interrupts, depth=3) as ctrl:
            ns, errors = ctrl.namespaces[1], []

            def work(number, ns=ns, errors=errors):
                try:
                    data = bytes([number]) * 4096
                    for lba in range(number * 8, number * 8 + 80, 8):
                        ns.write_bytes(data, lba=lba + number * 80)
                        assert ns.read_bytes(lba=lba + number * 80, blocks=8) == data
                except BaseException as error:
                    errors.append(error)

            running = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(6)]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join(30)
                assert not thread.is_alive()
            assert not errors


def test_many_more_requests_than_the_queue_holds(nvme_uri):
    for interrupts in ("msix", None):
        with Controller.open(nvme_uri, depth=3, interrupts=interrupts) as ctrl:
            ns = ctrl.namespaces[1]
            with ctrl.alloc(200 * 512) as buffer:
                fill(buffer, os.urandom(buffer.size))
                requests = [
                    ns.write_async(buffer[i * 512 : (i + 1) * 512], lba=i) for i in range(200)
                ]
                for request in requests:
                    request.result(30)
                assert ns.read_bytes(lba=0, blocks=200) == bytes(buffer)


@pytest.mark.parametrize("interrupts", ["msix", None])
async def test_requests_can_be_awaited(interrupts):
    with Controller.open("sim:nvme?size=16M", interrupts=interrupts) as ctrl:
        ns = ctrl.namespaces[1]
        with ctrl.alloc(8 * 512) as buffer:
            await asyncio.wait_for(
                asyncio.gather(
                    *(
                        asyncio.ensure_future(awaits(ns.write_async(buffer[i * 512 :], lba=i)))
                        for i in range(8)
                    )
                ),
                30,
            )
            await ns.flush_async()
            with pytest.raises(CompareFailure):
                fill(buffer, b"\xff" * 4096)
                await ns.compare_async(buffer, lba=0)


async def awaits(request):
    return await request


def test_buffer_is_held_until_the_request_is_done(sim):
    ns = sim.namespaces[1]
    hooks = model_of(sim).hooks
    hooks.hold(lambda qid, command: qid == 1)
    with sim.device.handle.lock:
        buffer = sim.alloc(4096)
        request = ns.read_async(buffer, lba=0)
        with pytest.raises(BufferBusy):
            buffer.close()
        assert not request.cancel()
        hooks.release()
    request.result(20)
    buffer.close()


def test_callbacks_may_use_the_controller(ctrl, ns):
    results, done = [], threading.Event()

    def goes_on(request):
        results.append(ctrl.admin.smart_log().composite_temperature)
        results.append(ns.read_bytes(lba=0, blocks=1))
        done.set()

    ns.flush_async().add_done_callback(goes_on)
    if ctrl.interrupts == "polling":
        ctrl.poll()
    assert done.wait(30)
    assert len(results) == 2


def test_many_threads_share_the_queues(nvme_uri):
    with Controller.open(nvme_uri, queues=2, depth=4) as ctrl:
        ns = ctrl.namespaces[1]
        errors = []

        def works(index):
            try:
                for round_ in range(20):
                    data = bytes([index, round_]) * 256
                    ns.write_bytes(data, lba=index)
                    assert ns.read_bytes(lba=index, blocks=1) == data
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=works, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not errors


# --- measured runs --------------------------------------------------------------------------


@pytest.mark.parametrize("rw", ["read", "write", "randread", "randwrite", "randrw"])
def test_measured_run(ns, rw):
    result = ns.measure(rw=rw, count=500, queue_depth=8, block_size=4096)
    assert (result.commands, result.errors) == (500, 0)
    assert sum(count for _, count in result.histogram) == 500
    figures = result.as_dict()
    assert {"iops", "bandwidth_bytes_s", "lat_us", "errors"} <= set(figures)
    assert {"p50", "p99", "p999", "mean"} <= set(figures["lat_us"])
    assert result.lat_us.p50 <= result.lat_us.p99 <= result.lat_us.p999 <= result.lat_us.max


def test_measured_run_wraps_identifiers_beyond_2_to_16(ns):
    assert ns.measure(count=70_000, queue_depth=3, block_size=ns.block_size).commands == 70_000


def test_measured_write_is_seen_by_a_read(ns):
    ns.write_bytes(b"\xaa" * 64 * ns.block_size, lba=0)
    ns.measure(rw="write", count=4, block_size=4 * ns.block_size, first_lba=8, blocks=16)
    data = ns.read_bytes(lba=0, blocks=32)
    assert data[: 8 * ns.block_size] == b"\xaa" * 8 * ns.block_size
    assert data[8 * ns.block_size : 24 * ns.block_size] == bytes(16 * ns.block_size)
    assert data[24 * ns.block_size :] == b"\xaa" * 8 * ns.block_size


def test_measured_run_reports_progress_and_errors(sim):
    model_of(sim).hooks.fail(0x281, lambda qid, command: qid == 1, count=10)
    seen = []
    result = sim.namespaces[1].measure(count=3000, queue_depth=4, progress=seen.append)
    assert result.errors == 10
    assert result.first_error == "Unrecovered Read Error"
    assert all(0 <= share <= 1 for share in seen)


def test_long_measured_transfers_use_prp_lists(tmp_controller):
    ns = tmp_controller.namespaces[1]
    result = ns.measure(rw="write", count=6, queue_depth=2, block_size=4 << 20)
    assert (result.commands, result.errors) == (6, 0)


def test_other_requests_wait_for_the_end_of_a_run(ctrl, ns):
    seen = []

    def asks(share):
        if not seen:
            thread = threading.Thread(target=lambda: seen.append(ns.read_bytes(lba=0, blocks=1)))
            seen.append(thread)
            thread.start()

    ns.measure(seconds=0.2, progress=asks)
    seen[0].join(30)
    assert len(seen) == 2


def test_run_ends_early_when_another_thread_closes():
    with Controller.open("sim:nvme?size=16M") as ctrl:
        ns = ctrl.namespaces[1]
        started, results = threading.Event(), []

        def runs():
            results.append(ns.measure(seconds=60, progress=lambda share: started.set()))

        thread = threading.Thread(target=runs)
        thread.start()
        assert started.wait(30)
        ctrl.close()
        thread.join(30)
        assert not thread.is_alive()
        assert results[0].commands > 0
        assert results[0].errors == 0
        assert not model_of(ctrl).notes


def test_run_broken_off_by_an_exception_leaves_nothing_in_flight(ns):
    class Stop(Exception):
        pass

    def stops(share):
        raise Stop

    with pytest.raises(Stop):
        ns.measure(seconds=60, progress=stops)
    ns.flush()
    assert ns.measure(count=10).commands == 10
