"""PCI functions that come and go, and drivers that take and leave them.

The kernel tells it over a socket (uevents), which pyudev reads.  Where udevd runs it passes the
events on when it has dealt with them (permissions and names are right then); without it they are
taken from the kernel directly.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import os
import select
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pymmio.errors import BadArgument, Closed, EventsLost, Unsupported
from pymmio.owner import Owner
from pymmio.pci.address import PciAddress
from pymmio.pci.discover import PciDeviceInfo, read_function
from pymmio.pci.ids import system_names

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["Action", "HotplugEvent", "Source", "Watch", "events", "watch"]

UDEVD = Path("/run/udev/control")
"""Is there while udevd runs."""


class Action(enum.StrEnum):
    """What happened (Linux 6.12 lib/kobject_uevent.c, kobject_actions)."""

    ADD = "add"
    REMOVE = "remove"
    CHANGE = "change"
    MOVE = "move"
    ONLINE = "online"
    OFFLINE = "offline"
    BIND = "bind"  #: a driver has taken the function
    UNBIND = "unbind"  #: its driver has left it


class Source(enum.StrEnum):
    """Who passes the events on."""

    AUTO = "auto"  #: udevd where it runs, else the kernel
    UDEV = "udev"  #: udevd, after its rules were applied
    KERNEL = "kernel"  #: the kernel, at once


@dataclass(frozen=True, slots=True)
class HotplugEvent:
    """One event of a PCI function.

    ``info`` is what the kernel showed when the event was taken, None where the function is not
    there any more.  ``vendor_id``, ``device_id`` and ``driver`` are those of the event itself
    (None where it does not say), so they are there for a function that was removed, too.
    """

    action: Action
    address: PciAddress
    info: PciDeviceInfo | None
    vendor_id: int | None = None
    device_id: int | None = None
    driver: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "action": str(self.action),
            "address": str(self.address),
            "vendor_id": self.vendor_id,
            "device_id": self.device_id,
            "driver": self.driver,
            "info": None if self.info is None else self.info.as_dict(),
        }

    def __str__(self) -> str:
        what = self.info.name if self.info is not None else _ids(self.vendor_id, self.device_id)
        driver = f" (driver {self.driver})" if self.driver else ""
        return f"{self.action} {self.address} {what}{driver}"


def watch(*, source: Source | str = Source.AUTO) -> Watch:
    """Watch PCI functions from now on: ``async for event in pymmio.watch()``.

    Events that come before the loop begins are kept.  Needs no rights.  Raises Unsupported
    where there is no pyudev, libudev or uevent socket.
    """
    return Watch(source=source)


def events(
    timeout_s: float | None = None, *, source: Source | str = Source.AUTO
) -> Iterator[HotplugEvent]:
    """Yield events from now on, and end when none came for ``timeout_s`` (None: never).

    Blocks; signal handlers of Python run meanwhile.  Raises as :func:`watch`, and EventsLost.
    """
    opened = Watch(source=source)  # here, not at the first step: nothing is missed

    def generate() -> Iterator[HotplugEvent]:
        with opened:
            while (event := opened.wait(timeout_s)) is not None:
                yield event

    return generate()


class Watch(AsyncIterator[HotplugEvent], Owner):
    """An open watch.  Close it, or use it in a ``with`` or ``async with`` statement."""

    def __init__(self, *, source: Source | str = Source.AUTO) -> None:
        """Start watching; raises as :func:`watch`."""
        try:
            chosen = Source(source)
        except ValueError:
            raise BadArgument(
                f"source={source!r} passes no events on", hint=f"Choose from {', '.join(Source)}"
            ) from None
        if chosen is Source.AUTO:
            chosen = Source.UDEV if UDEVD.exists() else Source.KERNEL
        self.source = chosen
        self._monitor: Any = _start(chosen)

    def fileno(self) -> int:
        """Return the socket, readable when there is something to take.  Raises Closed."""
        return int(self._require_open().fileno())

    def try_take(self) -> HotplugEvent | None:
        """Return the next event, None if there is none now.

        Raises EventsLost, once, where events came faster than they were taken, and Closed.
        """
        while True:
            try:
                device = self._require_open().poll(timeout=0)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                raise EventsLost(
                    "PCI events came faster than they were taken, some are lost",
                    hint="Look at what is there now with pymmio.discover(), then go on",
                ) from error
            if device is None:
                return None
            if (event := _event(device)) is not None:
                return event

    def wait(self, timeout_s: float | None = None) -> HotplugEvent | None:
        """Wait for the next event; return None if none came within ``timeout_s``."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if (event := self.try_take()) is not None:
                return event
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                return None
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            poll.poll(None if left_s is None else left_s * 1000)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> HotplugEvent:
        while True:
            try:
                if (event := self.try_take()) is not None:
                    return event
            except Closed:
                raise StopAsyncIteration from None
            await _readable(asyncio.get_running_loop(), self.fileno())

    @property
    def closed(self) -> bool:
        """Whether nothing is watched any more."""
        return self._monitor is None

    def close(self) -> None:
        """Stop watching; closing twice is fine.

        A loop that waits for the next event in the same event loop must be cancelled.
        """
        self._monitor = None  # the socket goes with libudev's object

    def _require_open(self) -> Any:
        if self._monitor is None:
            raise Closed("the watch is closed", hint="Call pymmio.watch() again")
        return self._monitor

    def __enter__(self) -> Self:
        self._require_open()
        return self

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<Watch of PCI events from {self.source}{', closed' if self.closed else ''}>"


async def _readable(loop: AbstractEventLoop, fd: int) -> None:
    """Return when the descriptor is readable; has one of its own, so that it may be closed."""
    own = os.dup(fd)
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(own, wake)
    try:
        await future
    finally:
        loop.remove_reader(own)
        os.close(own)


def _start(source: Source) -> Any:
    try:
        import pyudev  # late, as in discover()

        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source=str(source))
        monitor.filter_by("pci")
        monitor.start()
    except ImportError as error:  # also raised when the shared library is missing
        raise Unsupported(
            f"PCI events need libudev: {error}", hint="Install the package libudev1 (or eudev)"
        ) from error
    except OSError as error:
        raise Unsupported(
            f"PCI events cannot be watched: {error}",
            hint="The kernel needs CONFIG_NET and the process may use netlink sockets",
        ) from error
    return monitor


def _event(device: Any) -> HotplugEvent | None:
    """Return what an event of the monitor says, None where it is none that is known here."""
    try:
        action = Action(device.action)
        address = PciAddress.parse(device.sys_name)
    except ValueError:  # a later kernel has more actions; pci has slots, too
        return None
    properties = device.properties
    vendor, _, number = properties.get("PCI_ID", "").partition(":")
    info = read_function(Path(device.sys_path), properties, system_names())
    return HotplugEvent(
        action=action,
        address=address,
        info=None if action is Action.REMOVE else info,
        vendor_id=int(vendor, 16) if vendor else None,
        device_id=int(number, 16) if number else None,
        driver=properties.get("DRIVER") or None,
    )


def _ids(vendor_id: int | None, device_id: int | None) -> str:
    if vendor_id is None or device_id is None:
        return "a PCI function"
    return f"[{vendor_id:04x}:{device_id:04x}]"
