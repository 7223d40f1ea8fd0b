"""A minimal NVMe host for tests: registers and queue entries as literals, nothing shared."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pymmio.models.nvme import NvmeModel

from .fake_host import FakeHost

MEMORY = 0x10_0000
MEMORY_SIZE = 4 << 20  # of a driver that asks for no more
PAGE = 4096
ENABLE = 0x0046_0001  # CC: IOCQES 4, IOSQES 6, EN
SUCCESS = 0


@dataclass(frozen=True)
class Completion:
    dw0: int
    sq_head: int
    qid: int
    cid: int
    status_field: int  # DW3 bits 31:17

    @property
    def status(self) -> int:
        """Type and code, without CRD, More and Do Not Retry."""
        return self.status_field & 0x7FF

    @property
    def dnr(self) -> bool:
        return bool(self.status_field & 0x4000)


class Pair:
    """A submission and a completion queue with the driver's indexes."""

    def __init__(self, driver: Driver, qid: int, size: int) -> None:
        self.driver = driver
        self.qid = qid
        self.size = size
        self.sq = driver.alloc(size * 64)
        self.cq = driver.alloc(size * 16)
        self.tail = 0
        self.head = 0
        self.phase = 1

    def put(self, entry: bytes) -> None:
        assert len(entry) == 64
        self.driver.poke(self.sq + 64 * self.tail, entry)
        self.tail = (self.tail + 1) % self.size

    def ring(self) -> None:
        self.driver.doorbell(self.qid, 0, self.tail)

    def poll(self, *, consume: bool = True) -> list[Completion]:
        found = []
        while True:
            dw0, _, head, qid, cid, field = struct.unpack(
                "<IIHHHH", self.driver.peek(self.cq + 16 * self.head, 16)
            )
            if field & 1 != self.phase:
                break
            found.append(Completion(dw0, head, qid, cid, field >> 1))
            self.head += 1
            if self.head == self.size:
                self.head = 0
                self.phase ^= 1
        if found and consume:
            self.driver.doorbell(self.qid, 1, self.head)
        return found


class Driver:
    """Owns the model, its host and memory; talks to it only through BAR accesses."""

    def __init__(
        self,
        *,
        start: bool = True,
        queues: int = 1,
        entries: int = 64,
        memory: int = MEMORY_SIZE,
        **options: str,
    ):
        options.setdefault("size", "16M")
        self.model = NvmeModel(**options)
        self.host = FakeHost()
        self.model.attach(self.host)
        self.memory = self.host.map(MEMORY, memory)
        self._next = MEMORY
        self.stride = 4 << int(options.get("dstrd", 0))
        self._cid = 0x8000  # below it is the tests' own
        self.page_size = PAGE
        self.admin: Pair
        self.io: dict[int, Pair] = {}
        if start:
            self.start()
            for qid in range(1, queues + 1):
                self.create_pair(qid, entries)

    # --- memory and registers
    def alloc(self, size: int, align: int | None = None) -> int:
        align = align or self.page_size
        iova = -(-self._next // align) * align
        self._next = iova + size
        assert self._next <= MEMORY + len(self.memory)
        return iova

    def poke(self, iova: int, data: bytes) -> None:
        self.memory[iova - MEMORY : iova - MEMORY + len(data)] = data

    def peek(self, iova: int, size: int) -> bytes:
        return bytes(self.memory[iova - MEMORY : iova - MEMORY + size])

    def r32(self, offset: int) -> int:
        return self.model.bar_read(0, offset, 4)

    def w32(self, offset: int, value: int) -> None:
        self.model.bar_write(0, offset, 4, value)

    def w64(self, offset: int, value: int) -> None:
        self.model.bar_write(0, offset, 8, value)

    def doorbell(self, qid: int, is_cq: int, value: int) -> None:
        self.w32(0x1000 + (2 * qid + is_cq) * self.stride, value)

    @property
    def csts(self) -> int:
        return self.r32(0x1C)

    # --- life
    def start(self, cc: int = ENABLE, size: int = 32) -> None:
        self.page_size = 4096 << (cc >> 7 & 15)
        self._next = -(-self._next // self.page_size) * self.page_size
        self.admin = Pair(self, 0, size)
        self.poke(self.admin.cq, bytes(16 * size))
        self.w32(0x24, (size - 1) << 16 | (size - 1))
        self.w64(0x28, self.admin.sq)
        self.w64(0x30, self.admin.cq)
        self.w32(0x14, cc)
        assert self.csts == 1

    def create_pair(self, qid: int, size: int, vector: int | None = None) -> Pair:
        pair = Pair(self, qid, size)
        vector = qid if vector is None else vector
        created = self.submit_admin(
            0x05, prp1=pair.cq, cdw10=(size - 1) << 16 | qid, cdw11=vector << 16 | 3
        )
        assert created.status == SUCCESS
        created = self.submit_admin(
            0x01, prp1=pair.sq, cdw10=(size - 1) << 16 | qid, cdw11=qid << 16 | 1
        )
        assert created.status == SUCCESS
        self.io[qid] = pair
        return pair

    # --- commands
    def entry(
        self,
        opcode: int,
        *,
        nsid: int = 0,
        flags: int = 0,
        cid: int | None = None,
        mptr: int = 0,
        prp1: int = 0,
        prp2: int = 0,
        cdw10: int = 0,
        cdw11: int = 0,
        cdw12: int = 0,
        cdw13: int = 0,
        cdw14: int = 0,
        cdw15: int = 0,
    ) -> bytes:
        if cid is None:
            self._cid = 0x8000 | (self._cid + 1) & 0x7FFF
            cid = self._cid
        return struct.pack(
            "<BBHIQQQQIIIIII",
            opcode, flags, cid, nsid, 0, mptr, prp1, prp2,
            cdw10, cdw11, cdw12, cdw13, cdw14, cdw15,
        )  # fmt: skip

    def submit(self, pair: Pair, opcode: int, **fields: int) -> Completion:
        """Submit one command and return its completion, which must be the only one."""
        pair.put(self.entry(opcode, **fields))
        pair.ring()
        (completion,) = pair.poll()
        assert completion.qid == pair.qid
        return completion

    def submit_admin(self, opcode: int, **fields: int) -> Completion:
        return self.submit(self.admin, opcode, **fields)

    def submit_io(self, opcode: int, *, lba: int = 0, blocks: int = 1, **fields: int) -> Completion:
        """Submit a command with SLBA and NLB on queue 1; nsid is 1 unless told."""
        fields.setdefault("nsid", 1)
        fields.setdefault("cdw10", lba & 0xFFFF_FFFF)
        fields.setdefault("cdw11", lba >> 32)
        fields.setdefault("cdw12", blocks - 1)
        return self.submit(self.io[1], opcode, **fields)

    def prps(self, pages: list[int], offset: int = 0) -> dict[str, int]:
        """Return PRP1 and PRP2 for whole pages, making PRP lists as they are needed."""
        first, rest = pages[0] + offset, pages[1:]
        if not rest:
            return {"prp1": first}
        if len(rest) == 1:
            return {"prp1": first, "prp2": rest[0]}
        return {"prp1": first, "prp2": self.prp_list(rest)}

    def prp_list(self, pages: list[int]) -> int:
        per_page = self.page_size // 8
        iova = self.alloc(self.page_size, align=self.page_size)
        if len(pages) <= per_page:
            entries = pages
        else:
            entries = [*pages[: per_page - 1], self.prp_list(pages[per_page - 1 :])]
        self.poke(iova, struct.pack(f"<{len(entries)}Q", *entries))
        return iova

    def identify(self, cns: int, nsid: int = 0, csi: int = 0) -> bytes:
        buffer = self.alloc(4096)
        done = self.submit_admin(0x06, nsid=nsid, cdw10=cns, cdw11=csi << 24, prp1=buffer)
        assert done.status == SUCCESS, hex(done.status)
        return self.peek(buffer, 4096)

    def get_log(self, lid: int, size: int, *, nsid: int = 0xFFFF_FFFF, rae: int = 0) -> bytes:
        buffer = self.alloc(size)
        cdw10 = (size // 4 - 1) << 16 | rae << 15 | lid
        assert self.submit_admin(0x02, nsid=nsid, cdw10=cdw10, prp1=buffer).status == SUCCESS
        return self.peek(buffer, size)

    def write(self, lba: int, data: bytes, **fields: int) -> Completion:
        buffer = self.alloc(len(data))
        self.poke(buffer, data)
        pages = [buffer + i for i in range(0, len(data), PAGE)]
        return self.submit_io(0x01, lba=lba, blocks=len(data) // 512, **self.prps(pages), **fields)

    def read(self, lba: int, size: int) -> bytes:
        buffer = self.alloc(size)
        pages = [buffer + i for i in range(0, size, PAGE)]
        done = self.submit_io(0x02, lba=lba, blocks=size // 512, **self.prps(pages))
        assert done.status == SUCCESS, hex(done.status)
        return self.peek(buffer, size)
