"""All widths in the controller's memory buffer (BAR 2) agree, written one way and read another."""

from __future__ import annotations

from tests.guest.case import case
from tests.guest.inside import NVME, Function, bound_to_vfio
from tests.s390x import workload
from tests.s390x.instructions import LOAD, STORE, STORE_BLOCK, run_with_instructions
from tests.s390x.workload import CELLS, WIDTHS

WAYS = ("syscall", "pread")


def _clear(function: Function) -> None:
    with workload.memory(function.address, "syscall") as region:
        for cell, _ in CELLS:
            region.write_block(cell, bytes(16), width=8)


@case(guest="s390x", timeout_s=120, params=tuple(f"{w}-{r}" for w in WAYS for r in WAYS))
def case_what_is_written_in_one_width_is_read_in_all(ways: str) -> None:
    writer, reader = ways.split("-")
    with bound_to_vfio(NVME) as function:
        _clear(function)
        workload.write_cells(function.address, writer)
        workload.read_cells(function.address, reader)


@case(guest="s390x", timeout_s=240, seconds=9)
def case_one_memory_io_instruction_for_each_access() -> None:
    with bound_to_vfio(NVME) as function:
        _clear(function)
        executed = run_with_instructions("write_cells", function.address, "mio")
        # Three cells of 16 bytes for each width.
        assert executed[STORE] == {"1": 48, "2": 24, "4": 12, "8": 6}, executed
        assert executed[LOAD] == {}, executed
        workload.read_cells(function.address, "syscall")

        executed = run_with_instructions("read_cells", function.address, "mio")
        # Twelve cells in each width, once one by one and once as a block.
        assert executed[LOAD] == {str(w): 12 * 2 * 16 // w for w in WIDTHS}, executed
        assert executed[STORE] == {}, executed


@case(guest="s390x", timeout_s=120, params=WAYS)
def case_copies_of_any_length_arrive_whole(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        workload.copy(function.address, access)


@case(guest="s390x", timeout_s=240, seconds=9)
def case_copies_by_memory_io_instructions_are_store_blocks() -> None:
    with bound_to_vfio(NVME) as function:
        executed = run_with_instructions("copy", function.address, "mio")
    moved = sum(int(length) * times for length, times in executed[STORE_BLOCK].items())
    assert moved == 3 * 4096, executed
    assert all(int(length) <= 128 for length in executed[STORE_BLOCK]), executed
    assert executed[STORE] == {"4": 3 * 1024}, executed
    assert executed[LOAD] == {"4": 3 * 1024, "8": 3 * 512}, executed
