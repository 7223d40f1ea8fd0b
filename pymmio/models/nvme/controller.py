"""The controller: registers act, resets put everything back; the engine runs the queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import fields

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.handle import MappedArea
from pymmio.models.nvme import registers as reg
from pymmio.models.nvme.command import Command
from pymmio.models.nvme.engine import Engine
from pymmio.models.nvme.events import NAMESPACE_CHANGED, AsyncEvents
from pymmio.models.nvme.features import Features
from pymmio.models.nvme.hooks import Hooks
from pymmio.models.nvme.identify import Identity
from pymmio.models.nvme.interrupts import Interrupts
from pymmio.models.nvme.logs import Logs
from pymmio.models.nvme.namespace import open_namespaces
from pymmio.models.nvme.options import NvmeOptions
from pymmio.models.nvme.prp import from_driver, to_driver, walk
from pymmio.models.nvme.registers import Registers
from pymmio.models.nvme.status import CommandError

__all__ = ["NvmeModel"]

_CC_WRITABLE = 0x00FF_FFF1
_CC_FIXED_WHILE_ENABLED = 0x3FF0  # CSS, MPS, AMS
_SUBSYSTEM_RESET = 0x4E56_4D65  # "NVMe"
_PAGE = 4096


class NvmeModel(DeviceModel):
    """An NVMe controller with namespaces in memory or in a file; see NvmeOptions.

    ``hooks`` lets tests hold commands back, make them fail, be stuck, be gone; ``notes``
    keeps the last things that a driver did against the specification.
    """

    vendor_id = 0x1B36
    device_id = 0x0010
    subsystem_vendor_id = 0x1AF4
    subsystem_id = 0x1100
    revision_id = 0x02
    class_code = 0x010802
    has_intx = True

    @classmethod
    def offered_options(cls) -> dict[str, object]:
        """Return the options and their defaults."""
        return {one.name: one.default for one in fields(NvmeOptions)}

    def __init__(self, **options: str | int) -> None:
        self.options = NvmeOptions.parse(options)
        self.storage, self.namespaces = open_namespaces(self.options)
        self._lay_out_bar()
        self.notes: deque[str] = deque(maxlen=64)
        self.max_transfer = _PAGE << self.options.mdts if self.options.mdts else 0
        self.page_size = _PAGE
        self.registers = Registers(self.options)
        self.interrupts = Interrupts(self.options)
        self.identity = Identity(
            self.options, self.vendor_id, self.subsystem_vendor_id, self.namespaces
        )
        self.features = Features(self)
        self.logs = Logs(self)
        self.hooks = Hooks(self)
        self.engine = Engine(self)
        self.events = AsyncEvents(self.options.aerl, self.engine.complete_event)
        self._reset_due = False
        self._reads_until_settled = 0

    def _lay_out_bar(self) -> None:
        """Put doorbells at 1000h and the MSI-X table behind them on a page of its own."""
        stride = 4 << self.options.dstrd
        doorbells_end = reg.DOORBELLS + 2 * (self.options.max_ioqpairs + 1) * stride
        self.msix_vectors = self.options.msix_qsize
        self.msi_vectors = self.options.msi
        self.msix_bar = 0
        self.msix_offset = -(-doorbells_end // _PAGE) * _PAGE
        table = 16 * self.msix_vectors
        pending_bits = 8 * (-(-self.msix_vectors // 64))
        needed = self.msix_offset + table + _PAGE + pending_bits
        size = max(0x4000, 1 << (needed - 1).bit_length())
        doorbells = MappedArea(reg.DOORBELLS, self.msix_offset - reg.DOORBELLS)
        self.bars = (BarSpec(index=0, size=size, is_64bit=True, doorbells=(doorbells,)),)

    # --- life --------------------------------------------------------------------------

    def reset(self) -> None:
        """Function-level reset: registers, queues, features; blocks and hooks stay."""
        self._controller_reset()
        self.registers.power_on()
        self.logs.reset()

    def close(self) -> None:
        """Release the storage; the model cannot be used afterwards."""
        self.engine.clear()
        self.storage.close()

    def describe(self) -> Mapping[str, str]:
        return {
            "storage": self.storage.name,
            "size": str(self.storage.size),
            "namespaces": str(len(self.namespaces)),
            "block_size": str(self.options.block_size),
            "serial": self.options.serial,
        }

    # --- accesses ----------------------------------------------------------------------

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        if self.hooks.gone:
            return (1 << (8 * width)) - 1
        if bar != 0 or offset >= reg.DOORBELLS:
            return 0
        if offset == reg.CSTS:
            self._read_status()
        value = self.registers.read(offset, width)
        if value is None:
            self.note(f"undefined read of {width} bytes at {offset:#x}")
            return 0
        return value

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        if self.hooks.gone or bar != 0:
            return
        if offset >= reg.DOORBELLS:
            self.engine.write_doorbell(offset - reg.DOORBELLS, width, value)
            return
        if not self.registers.is_defined_write(offset, width):
            self.note(f"undefined write of {width} bytes at {offset:#x}")
            return
        match offset:
            case reg.CC:
                self._write_cc(value)
            case reg.INTMS:
                self._set_interrupt_mask(self.registers.interrupt_mask | value)
            case reg.INTMC:
                self._set_interrupt_mask(self.registers.interrupt_mask & ~value)
            case reg.CSTS:
                self.registers.csts &= ~(value & reg.CSTS_NSSRO)  # write 1 to clear
            case reg.NSSR:
                if value == _SUBSYSTEM_RESET and self.options.nssr:
                    self._controller_reset()
                    self.registers.power_on()
                    self.registers.csts = reg.CSTS_NSSRO
            case reg.AQA | reg.ASQ | reg.ASQ_HIGH | reg.ACQ | reg.ACQ_HIGH:
                if self.registers.is_enabled:
                    self.note(f"admin queue register {offset:#x} written while CC.EN is 1")
                else:
                    self.registers.write_admin_queue(offset, width, value)
            case _:
                self.note(f"write to read-only or reserved register {offset:#x}")

    def note(self, text: str) -> None:
        """Remember something that a driver should not have done."""
        self.notes.append(text)

    def _set_interrupt_mask(self, mask: int) -> None:
        self.registers.interrupt_mask = mask
        self.interrupts.set_mask(self.host, mask)

    # --- enable, disable, shut down (Base 1.4 §3.1.5, §7.6; Base 2.0 §3.1.3.5, §3.5, §3.6) --

    def _write_cc(self, value: int) -> None:
        registers = self.registers
        old = registers.cc
        value &= _CC_WRITABLE
        if old & value & reg.CC_EN and (old ^ value) & _CC_FIXED_WHILE_ENABLED:
            self.note("CC.CSS, MPS or AMS changed while CC.EN is 1")
            value = (value & ~_CC_FIXED_WHILE_ENABLED) | (old & _CC_FIXED_WHILE_ENABLED)
        if self._reset_due and value & reg.CC_EN and not self.hooks.stuck:
            self._controller_reset()
        registers.cc = value
        if old & ~value & reg.CC_EN:
            self._reset_due = True
            self.engine.is_live = False
        if (old ^ value) & reg.CC_EN:
            self._reads_until_settled = self.options.ready_reads
        if value >> 14 & 0x3 and not old >> 14 & 0x3:
            self._shut_down()
        if not self._reads_until_settled:
            self._settle()

    def _read_status(self) -> None:
        if self._reads_until_settled:
            self._reads_until_settled -= 1
        else:
            self._settle()

    def _settle(self) -> None:
        """Let CSTS.RDY follow CC.EN."""
        if self.hooks.stuck:
            return
        if self._reset_due:
            self._controller_reset()
        registers = self.registers
        if registers.is_enabled and not registers.csts & (reg.CSTS_RDY | reg.CSTS_CFS):
            self._start()

    def _start(self) -> None:
        registers = self.registers
        page_size = registers.page_size
        submission_size = (registers.aqa & 0xFFF) + 1
        completion_size = (registers.aqa >> 16 & 0xFFF) + 1
        wrong = (
            (page_size > _PAGE << self.options.mpsmax, "CC.MPS is above CAP.MPSMAX"),
            (registers.cc >> 4 & 0x7, "CC.CSS is no command set of CAP.CSS"),
            (registers.cc >> 11 & 0x7, "CC.AMS is no mechanism of CAP.AMS"),
            (submission_size < 2 or completion_size < 2, "AQA: an admin queue has one entry"),
            (registers.asq & (page_size - 1), "ASQ is not aligned to the memory page"),
            (registers.acq & (page_size - 1), "ACQ is not aligned to the memory page"),
        )
        for is_wrong, reason in wrong:
            if is_wrong:
                self.fatal(reason)
                return
        self.page_size = page_size
        self.engine.start(registers.asq, registers.acq, submission_size, completion_size)
        registers.csts |= reg.CSTS_RDY

    def _shut_down(self) -> None:
        """Make everything durable (CC.SHN normal and abrupt are the same here)."""
        csts = self.registers.csts & ~reg.CSTS_SHST_MASK
        if self.hooks.stuck_shutdown:
            self.registers.csts = csts | reg.CSTS_SHST_OCCURRING
            return
        try:
            self.storage.flush()
        except CommandError:
            self.fatal("the storage could not be flushed")
            return
        self.registers.csts = csts | reg.CSTS_SHST_COMPLETE

    def _controller_reset(self) -> None:
        """Delete all queues and go back to defaults; admin queue registers are kept."""
        self._reset_due = False
        self._reads_until_settled = 0
        self.engine.clear()
        self.hooks.drop_all()
        self.events.reset()
        self.features.reset()
        self.interrupts.reset(self.host)
        self.registers.controller_reset()

    def fatal(self, reason: str) -> None:
        """Set CSTS.CFS and process nothing more until a reset (Base 1.4 §9.5)."""
        self.note(f"fatal: {reason}")
        self.registers.csts |= reg.CSTS_CFS
        self.engine.is_live = False

    # --- what commands use -------------------------------------------------------------

    def send(self, command: Command, data: bytes) -> None:
        """Move ``data`` to where PRP1 and PRP2 of an admin command point."""
        segments = walk(self.host, command.prp1, command.prp2, len(data), self.page_size)
        to_driver(self.host, segments, data)

    def receive(self, command: Command, size: int) -> bytes:
        """Fetch ``size`` bytes from where PRP1 and PRP2 of an admin command point."""
        segments = walk(self.host, command.prp1, command.prp2, size, self.page_size)
        return from_driver(self.host, segments)

    def change_namespace(self, nsid: int) -> None:
        """Report that a namespace changed, as a namespace attribute notice does."""
        self.logs.changed_namespaces.add(nsid)
        if self.features.async_events & 1 << 8:
            self.events.post(NAMESPACE_CHANGED)
