"""What one connection to a server yields: the device as the server describes it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from pymmio.backend.vfio_user.connection import Answer, Connection
from pymmio.backend.vfio_user.handshake import Agreement, connect, negotiate
from pymmio.backend.vfio_user.iofd import IoEvents, ask_io_fds
from pymmio.backend.vfio_user.messages import Capabilities, Command, DeviceFlags, DeviceInfo
from pymmio.backend.vfio_user.options import Options
from pymmio.backend.vfio_user.region_info import RegionRecord, read_region
from pymmio.errors import ProtocolError, Unsupported
from pymmio.handle import CONFIG_REGION

__all__ = ["Session", "begin"]

_MAX_REGIONS = 64
_VGA = 8


@dataclass(frozen=True, slots=True)
class Session:
    """A connection, and what the device is; owns the descriptors that came."""

    connection: Connection
    capabilities: Capabilities
    device: DeviceInfo
    records: dict[int, RegionRecord]

    def events(self, index: int, *, wanted: bool) -> IoEvents:
        """Ask for the descriptors of a BAR."""
        if not wanted or index >= CONFIG_REGION:
            return IoEvents([])
        return ask_io_fds(self.connection, index, self.records[index].info.size)

    def give_up(self, why: str) -> None:
        """Let go of everything, and have who uses the connection raise DeviceGone."""
        self.connection.give_up(why)
        self.close()

    def close(self) -> None:
        """End the connection, close the descriptors; again is fine."""
        self.connection.close()
        while self.records:
            self.records.popitem()[1].close()


def begin(name: str, path: str, options: Options, answer: Answer) -> Session:
    """Connect, agree, and ask what the device is.

    Raises DeviceNotFound, DeviceBusy, PermissionRefused, Unsupported, ProtocolError, DeviceGone
    and DeviceTimeout; whatever was opened is closed then.
    """
    with ExitStack() as undo:
        agreement = negotiate(
            name, connect(path, options.timeout_s), options.timeout_s, twin=options.twin
        )
        undo.callback(agreement.close)
        connection = _start(name, agreement, options, answer)
        undo.callback(connection.close)
        device = _ask_device(connection)
        records: dict[int, RegionRecord] = {}
        for index in range(device.num_regions):
            record = read_region(connection, index) if index != _VGA else None
            if record is not None:
                undo.callback(record.close)
                records[index] = record
        if CONFIG_REGION not in records:
            raise ProtocolError(f"{name}: the server offers no configuration space")
        undo.pop_all()
    return Session(connection, agreement.server, device, records)


def _start(name: str, agreement: Agreement, options: Options, answer: Answer) -> Connection:
    return Connection(name, agreement.main, agreement.twin, answer, timeout_s=options.timeout_s)


def _ask_device(connection: Connection) -> DeviceInfo:
    message = connection.ask(
        Command.DEVICE_GET_INFO, DeviceInfo().pack(), what="asking what the device is"
    )
    message.fds.close()
    device = DeviceInfo.parse(message.payload)
    if not device.flags & DeviceFlags.PCI:
        raise Unsupported(f"{connection.name}: the device is no PCI device")
    if not CONFIG_REGION < device.num_regions <= _MAX_REGIONS:
        raise ProtocolError(f"{connection.name}: the server announces {device.num_regions} regions")
    return device
