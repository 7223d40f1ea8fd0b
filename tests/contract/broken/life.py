"""Faults of reset, life cycle, errors, fork and removal."""

from __future__ import annotations

import atexit
import os
import threading
import time
from pathlib import Path
from tempfile import gettempdir
from typing import Any, ClassVar

from pymmio.backend.sim import SimHandle
from pymmio.errors import DeviceNotFound, DmaError, PymmioError, Unsupported, UriError
from pymmio.handle import CONFIG_REGION, RegionHandle
from pymmio.pci.resets import ResetMethods
from pymmio.uri import DeviceUri
from tests.contract.broken.handle import BrokenHandle, fault


@fault
class ResetDoesNothing(BrokenHandle):
    def reset(self) -> None:
        return


@fault
class ResetIsRefused(BrokenHandle):
    """There is no reset, and no word about it."""

    def reset(self) -> None:
        raise Unsupported("no")


@fault
class ResetMovesAddresses(BrokenHandle):
    def reset(self) -> None:
        super().reset()
        self.inner.config._bytes[0x12] ^= 0x50  # of BAR 0


@fault
class ResetKeepsADescriptor(BrokenHandle):
    def reset(self) -> None:
        super().reset()
        os.dup(0)


@fault
class ResetIsSeenByOthers(BrokenHandle):
    """Others read ones meanwhile."""

    _is_resetting = False

    def reset(self) -> None:
        self._is_resetting = True
        time.sleep(0.2)
        super().reset()
        self._is_resetting = False

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if self._is_resetting:
            return (1 << 8 * width) - 1
        return super().read(region, offset, width)


@fault
class WorksOnAfterClose(BrokenHandle):
    """A reset of a closed device is made."""

    @classmethod
    def patched(cls) -> Any:
        from unittest import mock

        from pymmio.device import Device

        return mock.patch.object(Device, "_require_open", return_value=None)


@fault
class KnowsNoWaysToReset(BrokenHandle):
    def reset_methods(self) -> ResetMethods:
        return ResetMethods(())


@fault
class HasNoName(BrokenHandle):
    @property
    def name(self) -> str:
        return ""


@fault
class CloseKeepsADescriptor(BrokenHandle):
    def close(self) -> None:
        super().close()
        os.dup(0)


@fault
class CloseKeepsAThread(BrokenHandle):
    def close(self) -> None:
        super().close()
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()


@fault
class CloseFails(BrokenHandle):
    def close(self) -> None:
        super().close()
        raise DmaError("and then it could not be closed")


@fault
class CanBeOpenedOnce(BrokenHandle):
    opened = 0

    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        cls.opened += 1
        if cls.opened > 1:
            raise PymmioError("it was opened before")
        return super().open(uri, share_dma_with)


@fault
class SecondUserTakesItAway(BrokenHandle):
    """With a second user the first has no device any more."""

    users = 0

    def __init__(self, inner: SimHandle) -> None:
        super().__init__(inner)
        type(self).users += 1
        self._number = self.users

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        value = super().read(region, offset, width)
        if region.info.index == CONFIG_REGION or self._number == self.users:
            return value
        return (1 << 8 * width) - 1


@fault
class KilledUsersKeepIt(BrokenHandle):
    """A user that did not close keeps the device: a lock file that is left behind."""

    PATH = Path(gettempdir(), f"pymmio-broken-{os.getpid()}.lock")
    atexit.register(PATH.unlink, missing_ok=True)

    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        try:
            os.close(os.open(cls.PATH, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
        except FileExistsError:
            raise PymmioError("locked") from None
        return super().open(uri, share_dma_with)

    def close(self) -> None:
        super().close()
        os.unlink(self.PATH)


@fault
class DescriptorsAreInherited(BrokenHandle):
    def __init__(self, inner: SimHandle) -> None:
        super().__init__(inner)
        self._fd = os.dup(0)
        os.set_inheritable(self._fd, True)

    def close(self) -> None:
        super().close()
        os.close(self._fd)


@fault
class IsAlwaysGone(BrokenHandle):
    def is_gone(self) -> bool:
        return True


@fault
class IsNeverGone(BrokenHandle):
    def is_gone(self) -> bool:
        return False


@fault
class AskingChangesIt(BrokenHandle):
    def is_gone(self) -> bool:
        self.inner.config._bytes[0x3C] += 1
        return super().is_gone()


@fault
class TakesUnknownOptions(BrokenHandle):
    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        known = {name: value for name, value in uri.options.items() if "-" not in name}
        return super().open(DeviceUri(uri.scheme, uri.target, known), share_dma_with)


@fault
class FindsMissingDevices(BrokenHandle):
    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        try:
            return super().open(uri, share_dma_with)
        except DeviceNotFound:
            return super().open(DeviceUri("sim", "edu"), share_dma_with)


@fault
class FailsWithoutAHint(BrokenHandle):
    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        try:
            return super().open(uri, share_dma_with)
        except (PymmioError, UriError):
            raise PymmioError("failed") from None


@fault
class SharesWithStrangers(BrokenHandle):
    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: Any = None) -> SimHandle:
        known = share_dma_with if isinstance(share_dma_with, SimHandle) else None
        return super().open(uri, known)


@fault
class OpensHalf(BrokenHandle):
    """When the second descriptor cannot be had the first is kept."""

    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        first = os.dup(0)
        second = os.dup(0)
        os.close(first)
        os.close(second)
        return super().open(uri, share_dma_with)


@fault
class ForkTakesMemory(BrokenHandle):
    """A fork takes the memory away from the device."""

    current: ClassVar[list[BrokenHandle]] = []

    def __init__(self, inner: SimHandle) -> None:
        super().__init__(inner)
        type(self).current = [self]

    @classmethod
    def _before_fork(cls) -> None:
        for handle in cls.current:
            dma = handle.inner.dma
            for start in list(dma._starts):
                dma.unmap(start, len(dma._mappings[start]))  # type: ignore[arg-type]

    def close(self) -> None:
        type(self).current = []
        self.inner.close()

    def unmap(self, iova: int, size: int) -> None:
        if iova in self.inner.dma._mappings:
            super().unmap(iova, size)


os.register_at_fork(before=ForkTakesMemory._before_fork)


@fault
class ForkTakesInterrupts(BrokenHandle):
    _parent_forks = 0

    def __init__(self, inner: SimHandle) -> None:
        super().__init__(inner)
        self._forks = _forks[0]

    def raise_irq(self, kind: Any, vector: int) -> None:
        if _forks[0] == self._forks:
            super().raise_irq(kind, vector)


@fault
class ForkTakesRegisters(BrokenHandle):
    def __init__(self, inner: SimHandle) -> None:
        super().__init__(inner)
        self._forks = _forks[0]

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        value = super().read(region, offset, width)
        if _forks[0] == self._forks or region.info.index == CONFIG_REGION:
            return value
        return (1 << 8 * width) - 1


_forks = [0]


def _count_fork() -> None:
    _forks[0] += 1


os.register_at_fork(after_in_parent=_count_fork)


@fault
class NeedsItsProcess(BrokenHandle):
    """In a forked child nothing can be opened."""

    _pid = os.getpid()

    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        if os.getpid() != cls._pid:
            raise PymmioError("not here")
        return super().open(uri, share_dma_with)


@fault
class RemovalCrashesClose(BrokenHandle):
    def close(self) -> None:
        gone = self.inner.is_gone()
        super().close()
        if gone:
            raise DmaError("gone")


@fault
class RemovalKeepsADescriptor(BrokenHandle):
    def close(self) -> None:
        if self.inner.is_gone():
            os.dup(0)
        super().close()


@fault
class RemovalIsResetAway(BrokenHandle):
    def reset(self) -> None:
        if not self.inner.is_gone():
            super().reset()


@fault
class RemovedPollsHang(BrokenHandle):
    """A poll of a device that was removed does not come back for long."""

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if self.inner.is_gone() and threading.active_count() > 1:
            time.sleep(6)
        return super().read(region, offset, width)
