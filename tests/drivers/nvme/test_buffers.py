"""Memory for single commands: kept for the next one, never while the device may use it."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack

import pytest

from pymmio import open_device
from pymmio.errors import BadArgument, Closed, MappingLimit
from pymmio_drivers.nvme import Controller
from pymmio_drivers.nvme.buffers import KEPT_BYTES, Scratch


@pytest.fixture
def space():
    """The address space of a device."""
    with open_device("sim:nvme?size=16M") as device:
        yield device.dma


@pytest.fixture
def scratch(space):
    """Memory in it."""
    found = Scratch(space, 4096, lambda error: error)
    yield found
    found.close()
    assert space.mapped_bytes == 0


def taken(scratch, *sizes):
    """Iova and size of memory that is taken at the same time."""
    with ExitStack() as stack:
        buffers = [stack.enter_context(scratch.take(size)) for size in sizes]
        return [(buffer.iova, buffer.size) for buffer in buffers]


def test_memory_is_used_again(scratch):
    first = taken(scratch, 4096)
    assert taken(scratch, 4096) == first
    assert taken(scratch, 100) == first


def test_memory_is_large_enough(scratch):
    for size in (4096, 512, 4097, 12288, 1 << 20, 8192):
        ((_, found),) = taken(scratch, size)
        assert found >= size


def test_memory_that_is_taken_is_not_given_twice(scratch):
    taken(scratch, 4096, 4096)
    found = taken(scratch, 4096, 4096, 4096)
    assert len({iova for iova, _ in found}) == 3


def test_small_commands_do_not_hold_large_memory(scratch):
    large = taken(scratch, 1 << 20)
    assert taken(scratch, 512) != large
    assert taken(scratch, 1 << 20) == large


def test_kept_memory_is_bounded(scratch, space):
    taken(scratch, *[1 << 20] * 16)
    assert 0 < space.mapped_bytes <= KEPT_BYTES
    taken(scratch, 2 * KEPT_BYTES)
    assert space.mapped_bytes <= KEPT_BYTES
    taken(scratch, *[512] * 64)
    assert space.mapped_bytes <= KEPT_BYTES


def test_kept_memory_makes_room_where_no_more_can_be_mapped(scratch, space, monkeypatch):
    taken(scratch, 4096, 8192)
    limit = len(space._allocations)
    monkeypatch.setattr(type(space._handle), "max_mappings", limit, raising=False)
    assert scratch.alloc(1 << 20).size == 1 << 20
    with pytest.raises(MappingLimit):
        for _ in range(limit):
            scratch.alloc(1 << 20)
    space.close()


def test_memory_of_a_command_that_was_given_up_is_freed_when_it_has_ended(scratch, space):
    with pytest.raises(KeyboardInterrupt):
        with scratch.take(4096) as given_up:
            given_up.hold()
            raise KeyboardInterrupt
    assert taken(scratch, 4096) != [(given_up.iova, given_up.size)]
    given_up.release()
    taken(scratch, 8192)
    assert given_up.closed


def test_memory_of_a_closed_space_is_not_used(scratch, space):
    taken(scratch, 4096)
    space.close()
    with pytest.raises(Closed):
        taken(scratch, 4096)


@pytest.mark.parametrize("size", [0, -1])
def test_memory_has_a_size(scratch, size):
    with pytest.raises(BadArgument):
        taken(scratch, size)


# --- as the driver uses it -------------------------------------------------------------------


def test_copies_map_memory_once(sim):
    ns = sim.namespaces[1]
    mapped, before = [], sim.device.handle.dma.map

    def maps(*args, **named):
        mapped.append(args)
        before(*args, **named)

    ns.write_bytes(bytes(4096), lba=0)
    sim.device.handle.dma.map = maps
    for _ in range(10):
        ns.write_bytes(bytes(4096), lba=0)
        ns.read_bytes(lba=0, blocks=8)
        sim.admin.identify_namespace(1)
    assert not mapped


def test_copies_of_different_sizes_are_exact(sim):
    ns = sim.namespaces[1]
    for blocks in (8, 1, 3, 300, 2, 16, 1):
        data = os.urandom(blocks * 512)
        ns.write_bytes(data, lba=64)
        assert ns.read_bytes(lba=64, blocks=blocks) == data


def test_answers_of_the_controller_do_not_show_what_was_there_before(sim):
    sim.namespaces[1].write_bytes(b"\xee" * 4096, lba=0)
    sim.device.handle.model.hooks.hold(lambda qid, command: False)
    identity = sim.admin.identify(0x00, nsid=1)
    assert sim.admin.identify(0x03, nsid=1).count(b"\xee") == 0
    assert len(identity) == 4096


def test_measured_writes_write_zeroes_whatever_was_there_before(sim):
    ns = sim.namespaces[1]
    ns.write_bytes(b"\xee" * 4096, lba=0)
    ns.measure(rw="write", queue_depth=1, count=1, blocks=8)
    assert ns.read_bytes(lba=0, blocks=8) == bytes(4096)


def test_copies_in_many_threads_do_not_mix(nvme_uri):
    with Controller.open(nvme_uri) as ctrl:
        ns, errors = ctrl.namespaces[1], []

        def work(number):
            data = bytes([number]) * 8192
            for _ in range(10):
                ns.write_bytes(data, lba=number * 16)
                if ns.read_bytes(lba=number * 16, blocks=16) != data:
                    errors.append(number)

        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert not errors
    assert ctrl.device.dma.mapped_bytes == 0
