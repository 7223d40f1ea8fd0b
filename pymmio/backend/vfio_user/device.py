"""A device that another process serves, behind the Protocols that drivers reach it through."""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pymmio import forks
from pymmio.backend.handle_config import HandleConfig
from pymmio.backend.vfio_user.dma import DmaLimits, VfioUserDma
from pymmio.backend.vfio_user.irq import VfioUserIrq
from pymmio.backend.vfio_user.messages import Command, DeviceFlags
from pymmio.backend.vfio_user.options import Options
from pymmio.backend.vfio_user.region import VfioUserRegion
from pymmio.backend.vfio_user.session import Session, begin
from pymmio.errors import (
    DeviceBusy,
    DeviceGone,
    DeviceNotFound,
    PymmioError,
    Unsupported,
)
from pymmio.handle import CONFIG_REGION, RegionInfo
from pymmio.pci.resets import ResetKind, ResetMethod, ResetMethods, look_at_resets

__all__ = ["VfioUserDevice"]

_RESET_S = 30.0
"""How long a server may take to reset its device: more than for other requests."""
_RETRY_S = 0.05
_SPDK_NVME = (0x4E58, 0x0001)
_SPDK_DMA = DmaLimits(page_size=2 << 20, max_mappings=64)
"""SPDK's NVMe target passes over memory that is no multiple of 2 MiB, and takes 64 mappings.

Its controller counts as failed when it cannot signal vector 0, which every driver needs that
polls first and switches on its interrupts later.
"""


class VfioUserDevice:
    """DeviceHandle of a served device; owns the connection."""

    def __init__(self, path: str, options: Options) -> None:
        """Connect to the server at ``path`` and ask what it serves.

        Raises what :func:`~pymmio.backend.vfio_user.session.begin` does; nothing is left then.
        """
        self.name = f"vfio-user:{path}"
        self._path = path
        self._options = options
        self._regions: dict[int, VfioUserRegion] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self.dma = VfioUserDma(self.name)
        with ExitStack() as undo:
            self._session = begin(self.name, path, options, self.dma.answer)
            undo.callback(self._session.close)
            undo.callback(self._close_irq)
            self._config = self._region(CONFIG_REGION, self._session)
            self._identity = self._config.read(0, 4)
            self.irq = VfioUserIrq(self.name, self._session.device.num_irqs, self._config)
            self._connect_parts(self._session)
            undo.pop_all()
        forks.track(self)

    def region_infos(self) -> Sequence[RegionInfo]:
        """Return the regions that exist, by index, configuration space among them."""
        return tuple(record.info for record in self._session.records.values())

    def open_region(self, index: int) -> VfioUserRegion:
        """Return the region of this index.  Raises DeviceNotFound where there is none."""
        if index == CONFIG_REGION:
            return self._config
        with self._lock:
            if index not in self._session.records:
                raise DeviceNotFound(
                    f"{self.name} has no region {index}",
                    hint=f"It has {', '.join(map(str, self._session.records))}",
                )
            if index not in self._regions:
                self._regions[index] = self._region(index, self._session)
            return self._regions[index]

    def _region(self, index: int, session: Session) -> VfioUserRegion:
        return VfioUserRegion(
            session.records[index].info,
            session.connection,
            source=session.records[index].source,
            events=session.events(index, wanted=self._options.ioeventfd),
            takes_multi=session.capabilities.write_multiple,
        )

    def _connect_parts(self, session: Session) -> None:
        capabilities = session.capabilities
        smallest = capabilities.pgsizes & -capabilities.pgsizes
        unit, most = max(smallest, mmap.PAGESIZE), capabilities.max_dma_maps
        if (self._identity & 0xFFFF, self._identity >> 16) == _SPDK_NVME:
            self.irq.park(session.connection)
            unit, most = max(unit, _SPDK_DMA.page_size), min(most, _SPDK_DMA.max_mappings)
        limits = DmaLimits(max(unit, self._options.dma_unit), most)
        self.dma.connect(session.connection, limits)
        self.irq.connect(session.connection, session.capabilities.max_msg_fds)

    # --- the device as a whole -----------------------------------------------------------

    def reset(self) -> None:
        """Have the server reset the device; interrupts that are enabled stay so.

        Raises Unsupported where it cannot, DeviceTimeout and DeviceGone.
        """
        if not self._session.device.flags & DeviceFlags.RESET:
            raise Unsupported(
                f"{self.name}: the server does not reset its device",
                hint="Use the device's own reset register, or start the server anew",
            )
        limit_s = max(self._options.timeout_s, _RESET_S)
        self._session.connection.ask(
            Command.DEVICE_RESET, what="reset", timeout_s=limit_s
        ).fds.close()
        self.irq.after_reset()

    def reset_methods(self) -> ResetMethods:
        """Return what the server says, besides what configuration space says."""
        own = look_at_resets(HandleConfig(self._config)).looked_at
        can = bool(self._session.device.flags & DeviceFlags.RESET)
        says = "the server resets its device" if can else "the server says that it cannot"
        return ResetMethods((*own, ResetMethod(ResetKind.MODEL, can, says)))

    def is_gone(self) -> bool:
        """Ask whether the server has gone, or says that its device has."""
        if self._session.connection.is_lost:
            return True
        try:
            return self._config.read(0, 4) == 0xFFFF_FFFF
        except DeviceGone:
            return True
        except PymmioError:
            return False

    def when_gone(self, callback: Callable[[Callable[[], PymmioError]], None]) -> None:
        """Have ``callback`` called, in another thread, when the server is gone.

        What it is given makes the exception for whoever uses the device then.
        """
        connection = self._session.connection
        connection.on_lost = lambda: callback(connection.why_lost)
        if connection.is_lost:  # before anybody listened
            callback(connection.why_lost)

    def reconnect(self, timeout_s: float) -> None:
        """Connect again to the same place, where the same device must be served.

        DMA mappings and interrupts are set up again and regions can be used.  Whether the
        device still knows anything else is the server's matter.  Tries until ``timeout_s`` have
        passed.  Raises what opening raises, and DeviceNotFound where another device is served:
        then this one stays gone.  Call ``when_gone`` again afterwards.
        """
        deadline = time.monotonic() + timeout_s
        old = self._session
        old.connection.give_up("it is being reconnected")
        while True:
            try:
                session = begin(self.name, self._path, self._options, self.dma.answer)
                break
            except (DeviceNotFound, DeviceGone, DeviceBusy):
                if time.monotonic() + _RETRY_S > deadline:
                    raise
                time.sleep(_RETRY_S)
        with ExitStack() as undo:
            undo.callback(session.give_up, "reconnecting failed")
            regions = {index: self._region(index, session) for index in self._regions}
            for region in regions.values():
                undo.callback(region.close)
            config = self._region(CONFIG_REGION, session)
            self._require_same(config, session)
            with self._lock:
                self._config.take_over(config)
                for index, region in regions.items():
                    self._regions[index].take_over(region)
            self._connect_parts(session)
            undo.pop_all()
            self._session = session
        old.close()

    def _require_same(self, config: VfioUserRegion, session: Session) -> None:
        identity = config.read(0, 4)
        before = {i: (r.info.size, r.info.mappable) for i, r in self._session.records.items()}
        after = {i: (r.info.size, r.info.mappable) for i, r in session.records.items()}
        if identity != self._identity or before != after:
            raise DeviceNotFound(
                f"{self.name}: another device is served there now: {identity & 0xFFFF:04x}:"
                f"{identity >> 16:04x} instead of {self._identity & 0xFFFF:04x}:"
                f"{self._identity >> 16:04x}, or with other regions",
                hint="Close this one and open the new one",
            )

    def close(self) -> None:
        """Let go of the server; once, later calls do nothing."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        for region in self._regions.values():
            region.close()
        self._session.close()
        self._close_irq()

    def _close_irq(self) -> None:
        irq: VfioUserIrq | None = getattr(self, "irq", None)  # opening may have failed before
        if irq is not None:
            irq.close()

    def _after_fork(self) -> None:
        """In a forked child: the parent's device is none of ours."""
        self._lock = threading.Lock()
        self._is_closed = True
        for region in self._regions.values():
            region.after_fork()
        self.dma.after_fork()
        self.irq.after_fork()
