"""Start and stop of a controller, by its registers (NVMe Base 2.0 §3.5.1, §3.6.1, §3.7.2)."""

from __future__ import annotations

import mmap
import time
from contextlib import suppress

from pymmio.errors import DeviceTimeout, Unsupported
from pymmio.mmio import Order
from pymmio_drivers.nvme.errors import ControllerFatal
from pymmio_drivers.nvme.registers import CC, CSTS, CommandSet, Registers, Shutdown, ShutdownStatus

__all__ = ["Lifecycle"]

TIME_UNIT_S = 0.5  #: CAP.TO and CRTO count in this
IOSQES, IOCQES = 6, 4  #: entries of 64 and 16 bytes
SHUTDOWN_DEFAULT_S = 5.0  #: where RTD3E is 0: the controller does not say
CFS_CHECK_S = 0.1
# What a controller says of itself is believed up to here: 32 bits of microseconds and 16 bits of
# half seconds would be hours, and a program that opens or closes a broken device does not wait so.
READY_MOST_S = 600.0
SHUTDOWN_MOST_S = 60.0


class Lifecycle:
    """What a controller can do, from its registers, and the steps from one state to another.

    ``ready_timeout_s`` overrides what the controller says about itself.  Every method raises
    DeviceGone where a register reads as all ones, and AccessFault where the access failed.
    """

    def __init__(self, regs: Registers, *, ready_timeout_s: float | None = None) -> None:
        self.regs = regs
        self.cap = regs.cap.read()
        self.version = regs.vs.read()
        self.page_shift = self._page_shift()
        self.command_set = self._command_set()
        said = self._said_timeout_s()
        self.ready_timeout_s = said if ready_timeout_s is None else ready_timeout_s

    @property
    def page_size(self) -> int:
        """Memory page size that the controller is told to use, in bytes."""
        return 1 << self.page_shift

    @property
    def max_depth(self) -> int:
        """Entries that a queue may have."""
        return self.cap.mqes + 1

    def status(self) -> CSTS:
        """Read CSTS.  Raises DeviceGone, and ControllerFatal if CSTS.CFS is set."""
        csts = self.regs.csts.read()
        if csts.cfs:
            raise self._fatal(csts)
        return csts

    def disable(self) -> None:
        """Clear CC.EN and wait until the controller is no longer ready: a controller reset.

        Afterwards it does not touch memory and has no queues.  Raises DeviceTimeout if it does
        not leave the ready state.
        """
        cc = self.regs.cc.read()
        csts = self.regs.csts.read()
        if cc.en and not csts.rdy and not csts.cfs:
            # Clearing EN before RDY is set has undefined results (§3.1.3.5): wait, but if it
            # never becomes ready there is nothing better to do.
            with suppress(DeviceTimeout, ControllerFatal):
                self._wait_ready()
        if cc.en:
            self.regs.cc.write(cc.replace(en=0, shn=Shutdown.NONE))
        self.regs.csts.wait_until(rdy=0, timeout_s=self.ready_timeout_s)

    def enable(self, *, depth: int, asq_iova: int, acq_iova: int) -> None:
        """Start the controller with empty admin queues of ``depth`` entries.

        It must be disabled.  Raises DeviceTimeout, and ControllerFatal as soon as CFS is set.
        """
        regs = self.regs
        regs.aqa.write(asqs=depth - 1, acqs=depth - 1)
        regs.asq.write(asq_iova, order=Order.LOW_FIRST)
        regs.acq.write(acq_iova, order=Order.LOW_FIRST)
        # Arbitration stays round robin, which every controller has.  Command sets other than
        # NVM (§3.5.1 step 3) are not used, so that CSS need not name all of them.
        cc = CC(css=self.command_set, mps=self.page_shift - 12, iosqes=IOSQES, iocqes=IOCQES)
        regs.cc.write(cc)
        regs.cc.write(cc.replace(en=1))
        self._wait_ready()

    def shutdown(self, *, rtd3e_us: int) -> None:
        """Tell the controller that power may go, and wait until it says that this is fine.

        ``rtd3e_us`` is RTD3E of Identify Controller, at most a minute.  Raises DeviceTimeout.
        """
        timeout_s = max(rtd3e_us / 1e6, SHUTDOWN_DEFAULT_S if not rtd3e_us else 1.0)
        timeout_s = min(timeout_s, SHUTDOWN_MOST_S)
        self.regs.cc.update(shn=Shutdown.NORMAL)
        self.regs.csts.wait_until(shst=ShutdownStatus.COMPLETE, timeout_s=timeout_s)

    def mask_interrupts(self) -> None:
        """Mask all pin-based and MSI vectors; not allowed while MSI-X is on (§3.1.3.3)."""
        self.regs.intms.write(0xFFFF_FFFF)

    def _wait_ready(self) -> None:
        end = time.monotonic() + self.ready_timeout_s
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                csts = self.regs.csts.wait_until(rdy=1, timeout_s=min(CFS_CHECK_S, left))
            except DeviceTimeout as error:
                csts = CSTS(error.last or 0)
                if not csts.cfs and left <= CFS_CHECK_S:
                    raise DeviceTimeout(
                        f"the controller did not become ready within {self.ready_timeout_s:g} s"
                        f" (CSTS {int(csts):#010x})",
                        last=int(csts),
                        hint="Reset the device, or give ready_timeout_s=",
                    ) from error
            if csts.cfs:
                raise self._fatal(csts)
            if csts.rdy:
                return

    def _fatal(self, csts: CSTS) -> ControllerFatal:
        return ControllerFatal(
            f"the controller reports a fatal error (CSTS.CFS; CSTS {int(csts):#010x})",
            hint="A controller reset may end it: Controller.reset()",
        )

    def _said_timeout_s(self) -> float:
        units = self.cap.to
        if self.cap.crwms:  # only then CRTO exists; CAP.TO ends at FFh and may be too small
            units = max(units, self.regs.crto.read().crwmt)
        return min(max(units, 1) * TIME_UNIT_S, READY_MOST_S)

    def _page_shift(self) -> int:
        """Take the host's page size, as far as the controller can."""
        host = mmap.PAGESIZE.bit_length() - 1
        return max(12 + self.cap.mpsmin, min(host, 12 + self.cap.mpsmax))

    def _command_set(self) -> CommandSet:
        if self.cap.css & 1:
            return CommandSet.NVM
        if self.cap.css >> 6 & 1:
            return CommandSet.ALL
        raise Unsupported(
            f"the controller has no I/O command set (CAP.CSS {self.cap.css:#04x})",
            hint="It is an administrative controller; this driver is for I/O controllers",
        )
