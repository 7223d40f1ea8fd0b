"""The queue engine on plain memory, by all three doorbell ways."""

from __future__ import annotations

import struct
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import AccessFault, Closed, ProtocolError
from pymmio_drivers.nvme.command import sqe
from pymmio_drivers.nvme.engine import BATCH, ffi, lib
from tests.drivers.nvme.plain import CQ_DOORBELL, SQ_DOORBELL, WAYS, PlainController, cid_of
from tests.examples import examples

READ = sqe(2, nsid=1)


@pytest.fixture(params=WAYS)
def controller(request):
    with PlainController(request.param) as found:
        yield found


def submit(controller, count=1):
    cids, error = controller.engine.submit([READ] * count)
    assert error is None
    return cids


# --- sending ---------------------------------------------------------------------------


def test_an_entry_arrives_as_it_was_given_but_for_its_identifier(controller):
    (cid,) = submit(controller)
    (entry,) = controller.fetch()
    assert entry[:2] + b"\0\0" + entry[4:] == READ
    assert cid_of(entry) == cid


def test_a_batch_rings_once(controller):
    before = controller.doorbells[0].rings
    submit(controller, 5)
    assert controller.doorbells[0].rings == before + 1
    assert controller.doorbell(SQ_DOORBELL) == 5
    assert len(controller.fetch()) == 5


def test_compact_commands_become_entries_of_the_specification(controller):
    io = ffi.new("nvme_io[1]")
    io[0].opcode, io[0].nsid, io[0].slba = 1, 0x01020304, 0x1112131415161718
    io[0].prp1, io[0].prp2, io[0].cdw12, io[0].cdw13 = 0x2122232425262728, 0x31, 0x4000_0007, 0x51
    cids = ffi.new("uint16_t[1]")
    assert lib.nvme_qp_submit_io(controller.engine.qp, io, 1, cids) == 1
    controller.engine.deliver()
    (entry,) = controller.fetch()
    assert entry == bytes.fromhex(
        "0100" + struct.pack("<H", cids[0]).hex() + "04030201" "0000000000000000"
        "0000000000000000" "2827262524232221" "3100000000000000" "1817161514131211"
        "07000040" "51000000" "0000000000000000"
    )  # fmt: skip


def test_a_full_queue_takes_no_more_until_completions_free_it(controller):
    depth = controller.depth
    cids, error = controller.engine.submit([READ] * (depth + 3))
    assert error is None
    assert [cid is None for cid in cids] == [False] * (depth - 1) + [True] * 4
    assert controller.engine.space() == 0
    assert controller.engine.submit([READ]) == ([None], None)
    controller.serve()
    assert controller.engine.space() == 0  # nothing taken yet
    controller.engine.reap()
    assert controller.engine.space() == depth - 1


def test_room_follows_the_sq_head_that_completions_report():
    with PlainController(depth=8) as controller:
        cids = submit(controller, 7)
        controller.head = 2  # two entries fetched, one of them completed
        controller.complete(cids[0])
        controller.engine.reap()
        assert controller.engine.outstanding() == 6
        assert controller.engine.space() == 1  # one identifier is free, two entries are


def test_completions_may_come_in_any_order(controller):
    cids = submit(controller, 4)
    controller.fetch()
    for index in (2, 0, 3, 1):
        controller.complete(cids[index], result=index)
    done, error = controller.engine.reap()
    assert error is None
    assert [(d.cid, d.result) for d in done] == [(cids[i], i) for i in (2, 0, 3, 1)]
    assert controller.engine.outstanding() == 0


def test_status_and_result_are_little_endian_literals(controller):
    (cid,) = submit(controller)
    controller.fetch()
    controller.cq[0:16] = (
        bytes.fromhex("efbeadde0000000001000300")
        + struct.pack("<H", cid)
        + bytes.fromhex("0151")  # DNR, SCT 0, SC 80h, phase 1
    )
    done, error = controller.engine.reap()
    assert error is None
    assert (done[0].result, done[0].status) == (0xDEADBEEF, 0x2880)


def test_taking_completions_rings_the_cq_doorbell_once(controller):
    submit(controller, 3)
    controller.serve()
    before = controller.doorbells[1].rings
    controller.engine.reap()
    assert controller.doorbell(CQ_DOORBELL) == 3
    assert controller.doorbells[1].rings == before + 1
    assert controller.engine.reap() == ([], None)
    assert controller.doorbells[1].rings == before + 1


def test_latency_is_the_time_between_doorbell_and_reap(controller):
    before = time.monotonic_ns()
    submit(controller)
    controller.serve()
    (done,), _ = controller.engine.reap()
    assert 0 <= done.latency_ns <= time.monotonic_ns() - before


# --- rings that wrap ----------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 8, 64])
def test_rings_and_phase_wrap(depth):
    with PlainController(depth=depth) as controller:
        seen = 0
        for round_ in range(5 * depth):
            submit(controller, 1 + round_ % (depth - 1))
            controller.serve()
            while done := controller.engine.reap()[0]:
                seen += len(done)
        assert seen == sum(1 + r % (depth - 1) for r in range(5 * depth))


def test_identifiers_wrap_at_2_to_16_and_never_are_ffff():
    with PlainController(depth=4) as controller:
        seen = set()
        for _ in range(70_000):
            (cid,) = submit(controller)
            seen.add(cid)
            controller.serve()
            ((done,), error) = controller.engine.reap()
            assert error is None
            assert done.cid == cid
        assert 0xFFFF not in seen
        assert len(seen) >= 0xFFFF // 3


def test_the_largest_queue_has_65536_entries():
    with PlainController(depth=65536) as controller:
        total = 0
        while controller.engine.space():
            total += sum(cid is not None for cid in submit(controller, BATCH))
        assert total == 65535
        entries = controller.serve()
        assert len({cid_of(entry) for entry in entries}) == 65535
        while done := controller.engine.reap()[0]:
            total -= len(done)
        assert total == 0
        submit(controller, 3)
        assert len(controller.serve()) == 3
        assert len(controller.engine.reap()[0]) == 3


@given(
    depth=st.integers(2, 9),
    steps=st.lists(
        st.tuples(st.sampled_from(["submit", "fetch", "complete", "reap"]), st.integers(0, 9)),
        max_size=60,
    ),
)
@examples(200)
def test_any_order_of_steps_loses_and_invents_nothing(depth, steps):
    with PlainController(depth=depth) as controller:
        sent, fetched, completed, reaped = [], [], [], []
        for what, number in steps:
            if what == "submit":
                cids = submit(controller, max(1, number))
                taken = [cid for cid in cids if cid is not None]
                assert not set(taken) & (set(sent) - set(reaped))
                sent += taken
                assert len(sent) - len(reaped) <= depth - 1
            elif what == "fetch":
                entries = controller.fetch()
                fetched += [cid_of(entry) for entry in entries]
            elif what == "complete" and fetched:
                cid = fetched.pop(number % len(fetched))
                controller.complete(cid, result=cid)
                completed.append(cid)
            elif what == "reap":
                done, error = controller.engine.reap()
                assert error is None
                assert [d.cid for d in done] == completed
                assert all(d.result == d.cid for d in done)
                reaped += completed
                completed = []


# --- hostile completions ------------------------------------------------------------------


def hostile(controller, match, **wrong):
    (cid,) = submit(controller)
    controller.fetch()
    controller.complete(wrong.pop("cid", cid), **wrong)
    done, error = controller.engine.reap()
    assert done == []
    assert isinstance(error, ProtocolError)
    assert match in str(error)
    # Broken for good: nothing is taken or sent, and no doorbell is rung.
    rings = [doorbell.rings for doorbell in controller.doorbells]
    assert isinstance(controller.engine.reap()[1], ProtocolError)
    cids, again = controller.engine.submit([READ])
    assert cids == [None]
    assert isinstance(again, ProtocolError)
    assert [doorbell.rings for doorbell in controller.doorbells] == rings
    assert controller.engine.outstanding() == 1


def test_identifier_that_is_never_used_is_refused(controller):
    hostile(controller, "0xffff", cid=0xFFFF)


def test_identifier_that_is_not_outstanding_is_refused(controller):
    hostile(controller, "not outstanding", cid=3)


def test_completion_of_another_queue_is_refused(controller):
    hostile(controller, "sqid 4", sqid=4)


@pytest.mark.parametrize("sqhd", [8, 9, 0xFFFF, 2, 7])
def test_sq_head_outside_head_and_tail_is_refused(controller, sqhd):
    hostile(controller, f"sqhd {sqhd}", sqhd=sqhd)


def test_the_same_completion_twice_is_refused(controller):
    (cid,) = submit(controller)
    controller.fetch()
    controller.complete(cid)
    controller.complete(cid)
    done, error = controller.engine.reap()  # what was right before it counts
    assert [d.cid for d in done] == [cid]
    assert error is None
    done, error = controller.engine.reap()
    assert done == []
    assert isinstance(error, ProtocolError)


def test_a_stale_identifier_of_the_same_slot_is_refused():
    with PlainController(depth=2) as controller:  # one slot only
        (first,) = submit(controller)
        controller.serve()
        controller.engine.reap()
        (second,) = submit(controller)
        assert first != second
        controller.fetch()
        controller.complete(first)
        assert "not outstanding" in str(controller.engine.reap()[1])


def test_old_phase_is_no_completion(controller):
    (cid,) = submit(controller)
    controller.fetch()
    controller.complete(cid, phase=0)
    assert controller.engine.reap() == ([], None)


def test_clear_starts_anew_after_a_wrong_completion(controller):
    (cid,) = submit(controller)
    controller.fetch()
    controller.complete(cid, sqid=9)
    controller.engine.reap()
    controller.engine.clear()
    assert controller.cq[:] == bytes(len(controller.cq))
    controller.head = controller.cq_tail = 0
    controller.phase = 1
    submit(controller, 2)
    assert len(controller.serve()) == 2
    assert len(controller.engine.reap()[0]) == 2


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=7))
def test_random_completions_never_free_what_is_not_outstanding(entries):
    with PlainController(depth=8) as controller:
        cids = submit(controller, 5)
        controller.fetch()
        for index, entry in enumerate(entries):
            controller.cq[index * 16 : index * 16 + 16] = entry
        taken = []
        while True:
            done, error = controller.engine.reap()
            taken += [d.cid for d in done]
            if error is not None or not done:
                break
        assert len(set(taken)) == len(taken)
        assert set(taken) <= set(cids)
        assert controller.engine.outstanding() == 5 - len(taken)


# --- waiting ----------------------------------------------------------------------------


def test_wait_sees_a_completion_without_taking_it(controller):
    submit(controller)
    events = controller.engine.events()
    controller.serve()
    assert controller.engine.wait(events, 1.0) is True
    assert len(controller.engine.reap()[0]) == 1


def test_wait_comes_back_after_20_ms_at_most(controller):
    start = time.monotonic()
    assert controller.engine.wait(controller.engine.events(), 3600.0) is False
    assert time.monotonic() - start < 30


def test_wait_returns_when_somebody_else_took_the_completion(controller):
    submit(controller)
    events = controller.engine.events()
    controller.serve()
    controller.engine.reap()
    assert controller.engine.wait(events, 3600.0) is True


def test_close_makes_waiters_return(controller):
    engine = controller.engine
    entered = threading.Event()
    results = []

    def waits():
        entered.set()
        while (result := engine.wait(engine.events(), 0.02)) is False:
            pass
        results.append(result)

    threads = [threading.Thread(target=waits) for _ in range(3)]
    for thread in threads:
        thread.start()
    entered.wait(5)
    engine.close()
    for thread in threads:
        thread.join(10)
    assert results == [None] * 3
    assert engine.users() == 0
    assert isinstance(engine.submit([READ])[1], Closed)


def test_another_thread_runs_while_one_waits(controller):
    """The interpreter lock is released: the thread that completes can run."""
    (cid,) = submit(controller)
    done = threading.Event()

    def completes():
        controller.fetch()
        controller.complete(cid)
        done.set()

    thread = threading.Thread(target=completes)
    deadline = time.monotonic() + 10
    thread.start()
    while controller.engine.wait(controller.engine.events(), 0.02) is False:
        assert time.monotonic() < deadline
    thread.join()
    assert [d.cid for d in controller.engine.reap()[0]] == [cid]


# --- doorbells that fail ------------------------------------------------------------------


def test_doorbell_on_a_closed_region_breaks_the_queue(controller):
    submit(controller)
    controller.serve()
    controller.region.close()
    cids, error = controller.engine.submit([READ])
    assert isinstance(error, Closed)
    if controller.way != "python":
        assert cids != [None]  # the entry is written: it must be taken for outstanding
        assert isinstance(controller.engine.reap()[1], Closed)


def test_doorbell_whose_write_fails_says_so():
    with PlainController("syscall") as controller:
        import os

        read_only = os.open(f"/proc/self/fd/{controller.fd}", os.O_RDONLY)
        os.dup2(read_only, controller.doorbells[0]._fd)
        os.close(read_only)
        cids, error = controller.engine.submit([READ])
        assert cids != [None]
        assert isinstance(error, AccessFault)
        assert error.offset == SQ_DOORBELL


def test_cq_doorbell_that_fails_is_named():
    with PlainController("syscall") as controller:
        import os

        submit(controller)
        controller.serve()
        read_only = os.open(f"/proc/self/fd/{controller.fd}", os.O_RDONLY)
        os.dup2(read_only, controller.doorbells[1]._fd)
        os.close(read_only)
        done, _ = controller.engine.reap()
        assert len(done) == 1  # it did arrive
        error = controller.engine.reap()[1]
        assert isinstance(error, AccessFault)
        assert error.offset == CQ_DOORBELL


# --- the measured loop --------------------------------------------------------------------


def run_to_end(controller, run, free, serve):
    deadline = time.monotonic() + 30
    while True:
        code = lib.nvme_qp_run(controller.engine.qp, run, free, 1_000_000)
        if code == lib.NVME_RUN_DELIVER:
            controller.engine.deliver()
        if code <= 0:
            return code
        serve()
        assert time.monotonic() < deadline


def new_run(qd, **fields):
    run = ffi.new("nvme_run *")
    prps = ffi.new("uint64_t[]", [0x1000 * (n + 1) for n in range(2 * qd)])
    run.prps, run.qd, run.nsid, run.blocks, run.positions = prps, qd, 1, 8, 4
    run.seed, run.read_percent = 7, 100
    for name, value in fields.items():
        setattr(run, name, value)
    return run, ffi.new("uint32_t[]", qd), prps


def test_run_sends_exactly_count_commands_in_order(controller):
    run, free, _prps = new_run(3, count=10, first_lba=100)
    entries = []
    assert run_to_end(controller, run, free, lambda: entries.extend(controller.serve())) == 0
    assert (run.submitted, run.completed, run.errors) == (10, 10, 0)
    lbas = [int.from_bytes(e[40:48], "little") for e in entries]
    assert lbas == [100 + 8 * (i % 4) for i in range(10)]
    assert {e[0] for e in entries} == {2}
    assert {int.from_bytes(e[48:52], "little") for e in entries} == {7}
    assert sum(run.histogram) == 10


def test_run_keeps_each_buffer_with_one_command(controller):
    run, free, _prps = new_run(5, count=200, random=1, read_percent=50)
    in_flight, most, opcodes = {}, 0, set()

    def serve():
        nonlocal most
        for entry in controller.fetch():
            prp1 = int.from_bytes(entry[24:32], "little")
            assert prp1 not in in_flight
            assert int.from_bytes(entry[40:48], "little") in {0, 8, 16, 24}
            in_flight[prp1] = cid_of(entry)
            opcodes.add(entry[0])
        most = max(most, len(in_flight))
        while len(in_flight) > 2 or (in_flight and run.submitted == 200):
            _, cid = in_flight.popitem()
            controller.complete(cid)

    assert run_to_end(controller, run, free, serve) == 0
    assert most == 5
    assert opcodes == {1, 2}


def test_run_counts_errors_and_keeps_the_first(controller):
    run, free, _prps = new_run(2, count=4)
    assert run_to_end(controller, run, free, lambda: controller.serve(status=0x281)) == 0
    assert (run.errors, run.first_error) == (4, 0x281)


def test_run_refuses_a_queue_in_use_and_too_many_commands(controller):
    run, free, _prps = new_run(8)
    assert lib.nvme_qp_run(controller.engine.qp, run, free, 0) == lib.NVME_QP_BUSY
    submit(controller)
    run, free, _prps = new_run(2)
    assert lib.nvme_qp_run(controller.engine.qp, run, free, 0) == lib.NVME_QP_BUSY


def test_run_stops_at_a_wrong_completion(controller):
    run, free, _prps = new_run(2, count=4)

    def serve():
        controller.fetch()
        controller.complete(0xFFFF)

    assert run_to_end(controller, run, free, serve) == lib.NVME_QP_BAD_CID


def test_run_says_when_nothing_completes(controller):
    run, free, _prps = new_run(2, count=4, stall_ns=1)
    deadline = time.monotonic() + 30
    while not run.stalled:
        code = lib.nvme_qp_run(controller.engine.qp, run, free, 1_000_000)
        controller.engine.deliver()
        assert code > 0
        assert time.monotonic() < deadline


@given(st.integers(0, 2**64 - 1))
def test_histogram_buckets_are_1_6_percent_wide(ns):
    index = lib.nvme_histogram_index(ns)
    assert 0 <= index < lib.NVME_HISTOGRAM_SIZE
    lower = lib.nvme_histogram_value(index)
    assert lower <= ns
    assert ns - lower <= max(0, lower // 64)
    if index + 1 < lib.NVME_HISTOGRAM_SIZE:
        assert ns < lib.nvme_histogram_value(index + 1)
