"""Whatever a driver writes, the NVMe model answers: no exception, no access out of bounds."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.examples import examples
from tests.unit.models.nvme_driver import MEMORY, MEMORY_SIZE, Driver

U16 = st.integers(0, 0xFFFF)
U32 = st.one_of(st.integers(0, 16), st.integers(0, 0xFFFF_FFFF), st.just(0xFFFF_FFFF))
U64 = st.integers(0, (1 << 64) - 1)
ADDRESSES = st.one_of(
    st.integers(MEMORY, MEMORY + MEMORY_SIZE - 1),
    st.integers(MEMORY >> 12, (MEMORY + MEMORY_SIZE - 1) >> 12).map(lambda page: page << 12),
    U64,
    st.just(0),
    st.just((1 << 64) - 4096),
)
OPCODES = st.one_of(
    st.sampled_from([0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0C, 0x80]),
    st.integers(0, 255),
)
FLAGS = st.one_of(st.just(0), st.just(0), st.integers(0, 255))
NSIDS = st.one_of(st.just(1), st.integers(0, 300), U32)
WORDS = st.one_of(U32, st.tuples(U16, U16).map(lambda halves: halves[0] << 16 | halves[1]))


@st.composite
def entries(draw: st.DrawFn) -> bytes:
    return struct.pack(
        "<BBHIQQQQ6I",
        draw(OPCODES),
        draw(FLAGS),
        draw(st.integers(0, 20)),
        draw(NSIDS),
        draw(U64),
        draw(U64),
        draw(ADDRESSES),
        draw(ADDRESSES),
        *(draw(WORDS) for _ in range(6)),
    )


@given(st.lists(st.tuples(st.booleans(), entries()), min_size=1, max_size=30))
@examples(300)
def test_random_commands_are_answered_or_wait(commands: list[tuple[bool, bytes]]) -> None:
    driver = Driver(size="1M", mdts="9")
    for is_admin, entry in commands:
        pair = driver.admin if is_admin else driver.io[1]
        pair.put(entry)
        pair.ring()
        for completion in pair.poll():
            assert completion.status_field & 0x1800 == 0  # CRD
            assert completion.status >> 8 in (0, 1, 2)


@given(st.binary(min_size=64, max_size=64), st.booleans())
@examples(500)
def test_random_bytes_as_a_command(entry: bytes, is_admin: bool) -> None:
    driver = Driver(size="64K", queues=1)
    pair = driver.admin if is_admin else driver.io[1]
    pair.put(entry)
    pair.ring()
    found = pair.poll()
    assert len(found) == 1 or (is_admin and entry[0] == 0x0C)


@given(
    st.lists(
        st.tuples(st.integers(0, 0x2400), st.sampled_from([1, 2, 4, 8]), U64, st.booleans()),
        max_size=60,
    )
)
@examples(300)
def test_random_register_accesses(accesses: list[tuple[int, int, int, bool]]) -> None:
    driver = Driver(size="64K", start=False)
    for offset, width, value, is_write in accesses:
        mask = (1 << (8 * width)) - 1
        if is_write:
            driver.model.bar_write(0, offset, width, value & mask)
        else:
            assert 0 <= driver.model.bar_read(0, offset, width) <= mask


class Hostile(RuleBasedStateMachine):
    """A driver that starts, stops, rings and maps as it likes, over random memory."""

    @initialize(data=st.binary(min_size=64, max_size=4096))
    def make(self, data: bytes) -> None:
        self.driver = Driver(size="1M", start=False, aerl="1")
        memory = self.driver.memory
        for at in range(0, 1 << 20, len(data)):
            memory[at : at + len(data)] = data

    @rule(asq=ADDRESSES, acq=ADDRESSES, aqa=U32, cc=st.sampled_from([0x460001, 0x460001, 0x4601]))
    def enable(self, asq: int, acq: int, aqa: int, cc: int) -> None:
        for offset, value in ((0x28, asq & ~0xFFF), (0x30, acq & ~0xFFF)):
            self.driver.w64(offset, value)
        self.driver.w32(0x24, aqa & 0x001F001F | 0x00010001)
        self.driver.w32(0x14, cc)

    @rule()
    def disable(self) -> None:
        self.driver.w32(0x14, 0)
        assert self.driver.csts == 0

    @rule()
    def reset(self) -> None:
        self.driver.model.reset()

    @rule(qid=st.integers(0, 70), is_cq=st.integers(0, 1), value=st.one_of(st.integers(0, 33), U32))
    def ring(self, qid: int, is_cq: int, value: int) -> None:
        self.driver.doorbell(qid, is_cq, value)

    @rule(slot=st.integers(0, 31), entry=entries())
    def place(self, slot: int, entry: bytes) -> None:
        queue = self.driver.model.registers.asq
        if MEMORY <= queue < MEMORY + MEMORY_SIZE - 4096:
            self.driver.poke(queue + 64 * slot, entry)

    @rule()
    def hold(self) -> None:
        self.driver.model.hooks.hold(lambda qid, command: command.cid & 1 == 0)

    @rule()
    def release(self) -> None:
        self.driver.model.hooks.release()

    @precondition(lambda self: bool(self.driver.host.ranges))
    @rule()
    def unmap(self) -> None:
        self.driver.host.ranges.clear()

    @rule()
    def map(self) -> None:
        self.driver.host.ranges[MEMORY] = self.driver.memory

    @invariant()
    def status_is_sane(self) -> None:
        if hasattr(self, "driver"):
            assert self.driver.csts & ~0x1F == 0
            for queue in self.driver.model.engine.completion.values():
                assert 0 <= queue.tail < queue.size
                assert 0 <= queue.head < queue.size

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.driver.model.close()


TestHostile = Hostile.TestCase
TestHostile.settings = examples(150, stateful_step_count=40)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "zeroes", "trim"]),
            st.integers(0, 255),
            st.integers(1, 40),
            st.integers(0, 255),
        ),
        max_size=40,
    ),
    st.booleans(),
)
@examples(60)
def test_blocks_behave_like_an_array(
    steps: list[tuple[str, int, int, int]], large_blocks: bool
) -> None:
    shift = 12 if large_blocks else 9
    driver = Driver(size=str(256 << shift), block_size=str(1 << shift), queues=1)
    expected = bytearray(256 << shift)
    buffer = driver.alloc(64 * 4096)
    pages = [buffer + 4096 * at for at in range(64)]
    for kind, lba, blocks, value in steps:
        blocks = min(blocks, 256 - lba)
        size = blocks << shift
        content = bytes([value]) * size if kind == "write" else bytes(size)
        fields = driver.prps(pages[: -(-size // 4096)])
        driver._next = buffer + 64 * 4096
        if kind == "write":
            driver.poke(buffer, content)
            done = driver.submit_io(0x01, lba=lba, blocks=blocks, **fields)
        elif kind == "zeroes":
            done = driver.submit_io(0x08, lba=lba, blocks=blocks)
        else:
            driver.poke(buffer, struct.pack("<IIQ", 0, blocks, lba))
            done = driver.submit_io(0x09, cdw10=0, cdw11=4, cdw12=0, prp1=buffer)
        assert done.status == 0
        expected[lba << shift : (lba << shift) + size] = content
    for lba in range(0, 256, 32):
        size = 32 << shift
        done = driver.submit_io(0x02, lba=lba, blocks=32, **driver.prps(pages[: size // 4096]))
        assert done.status == 0
        assert driver.peek(buffer, size) == expected[lba << shift : (lba << shift) + size]
