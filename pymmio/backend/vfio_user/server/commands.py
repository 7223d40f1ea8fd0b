"""What each command of a client does."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pymmio.backend.vfio_user.channel import Message
from pymmio.backend.vfio_user.messages import (
    Command,
    DeviceFeature,
    DeviceFlags,
    DeviceInfo,
    DmaMap,
    DmaUnmap,
    IoFdsReply,
    IoFdsRequest,
    IrqInfo,
    RegionData,
    RegionFlags,
    RegionInfoReply,
    RegionInfoRequest,
    RegionRequest,
    SetIrqs,
    SparseArea,
    UnmapFlags,
    WriteMulti,
    WriteMultiReply,
)
from pymmio.backend.vfio_user.server.answer import Answer
from pymmio.backend.vfio_user.server.device import REGIONS
from pymmio.backend.vfio_user.server.refusal import Refusal
from pymmio.errors import AccessFault
from pymmio.handle import CONFIG_REGION

if TYPE_CHECKING:
    from pymmio.backend.vfio_user.server.session import Session

__all__ = ["COMMANDS", "MAX_DATA", "accept_write"]

_IRQ_INDEXES = 5
_PAGE = 4096
MAX_DATA = 1 << 20
"""Bytes of a REGION_READ or REGION_WRITE."""


def _version(session: Session, message: Message, answer: Answer) -> None:
    raise Refusal(errno.EINVAL, "a second VERSION")


def _dma_map(session: Session, message: Message, answer: Answer) -> None:
    request = DmaMap.parse(message.payload)
    if len(message.fds) > 1:
        raise Refusal(errno.EINVAL, f"DMA_MAP with {len(message.fds)} descriptors")
    fd = message.fds.take(0) if len(message.fds) else None
    try:
        session.memory.lend(
            request.address,
            request.size,
            flags=request.flags,
            fd=fd,
            file_offset=request.offset,
        )
    finally:
        if fd is not None:
            os.close(fd)
    answer.send()


def _dma_unmap(session: Session, message: Message, answer: Answer) -> None:
    request = DmaUnmap.parse(message.payload)
    if request.flags == UnmapFlags.ALL:
        if request.address or request.size:
            raise Refusal(errno.EINVAL, "DMA_UNMAP of all with an address")
        session.memory.take_back_all()
    elif request.flags:
        raise Refusal(errno.EINVAL, f"DMA_UNMAP with flags {request.flags:#x}")
    else:
        session.memory.take_back(request.address, request.size)
    answer.send(request.pack())


def _get_info(session: Session, message: Message, answer: Answer) -> None:
    DeviceInfo.parse(message.payload)
    flags = DeviceFlags.RESET | DeviceFlags.PCI
    answer.send(DeviceInfo(flags, num_regions=REGIONS, num_irqs=_IRQ_INDEXES).pack())


def _get_region_info(session: Session, message: Message, answer: Answer) -> None:
    request = RegionInfoRequest.parse(message.payload)
    device, index = session.device, request.index
    size = device.region_size(index)
    flags = RegionFlags.READ | RegionFlags.WRITE if size else RegionFlags(0)
    areas = None
    fds: list[int] = []
    if index in device.memory and size % _PAGE == 0:
        flags |= RegionFlags.MMAP
        fds = [device.memory[index].fd]
    elif index in session.doorbells.areas:
        flags |= RegionFlags.MMAP
        fds = [session.doorbells.file_of(index)]
        areas = tuple(SparseArea(a.offset, a.size) for a in session.doorbells.areas[index])
    reply = RegionInfoReply(index, size, flags, areas=areas)
    if len(reply.pack()) > request.room:
        fds = []  # the client asks again, and gets it then
    elif areas is not None:
        session.are_doorbells_shared = True
    answer.send(reply.pack(request.room), fds)


def _get_io_fds(session: Session, message: Message, answer: Answer) -> None:
    request = IoFdsRequest.parse(message.payload)
    session.device.region_size(request.index)
    answer.send(IoFdsReply(request.index, ()).pack())


def _get_irq_info(session: Session, message: Message, answer: Answer) -> None:
    answer.send(session.irqs.info(IrqInfo.parse(message.payload).index).pack())


def _set_irqs(session: Session, message: Message, answer: Answer) -> None:
    session.irqs.set(SetIrqs.parse(message.payload, len(message.fds)), message.fds)
    answer.send()


def _region_read(session: Session, message: Message, answer: Answer) -> None:
    request = RegionRequest.parse(message.payload)
    region, offset, count = request.region, request.offset, request.count
    if count > MAX_DATA:
        raise Refusal(errno.EINVAL, f"REGION_READ of {count} bytes")
    session.device.check_bounds(region, offset, count)
    data = session.device.read_region(region, offset, count)
    answer.send(RegionData(region, offset, data).pack())


def accept_write(session: Session, message: Message, answer: Answer) -> RegionData:
    """Check a REGION_WRITE; one to a BAR may be answered from now on before it is made."""
    request = RegionData.parse(message.payload)
    region, offset, count = request.region, request.offset, len(request.data)
    session.device.check_write(region, offset, count)
    if region != CONFIG_REGION:
        answer.may_be_early(RegionRequest(region, offset, count).pack())
    return request


def _region_write(session: Session, message: Message, answer: Answer) -> None:
    request = accept_write(session, message, answer)
    region, offset, data = request.region, request.offset, request.data
    session.device.write_region(region, offset, data)
    answer.send(RegionRequest(region, offset, len(data)).pack())


def _write_multi(session: Session, message: Message, answer: Answer) -> None:
    request = WriteMulti.parse(message.payload)
    for write in request.writes:
        session.device.check_bounds(write.region, write.offset, len(write.data))
    done = WriteMultiReply(len(request.writes)).pack()
    answer.may_be_early(done)
    for write in request.writes:
        with contextlib.suppress(AccessFault):  # it does not decode: lost as on PCI
            session.device.write_region(write.region, write.offset, write.data)
    answer.send(done)


def _reset(session: Session, message: Message, answer: Answer) -> None:
    session.doorbells.clear()
    session.device.reset_function()
    answer.send()


def _feature(session: Session, message: Message, answer: Answer) -> None:
    DeviceFeature.parse(message.payload)
    raise Refusal(errno.ENOTTY, "features of migration")


def _migration(session: Session, message: Message, answer: Answer) -> None:
    raise Refusal(errno.EOPNOTSUPP, "migration")


COMMANDS: Mapping[int, Callable[[Session, Message, Answer], None]] = {
    Command.VERSION: _version,
    Command.DMA_MAP: _dma_map,
    Command.DMA_UNMAP: _dma_unmap,
    Command.DEVICE_GET_INFO: _get_info,
    Command.DEVICE_GET_REGION_INFO: _get_region_info,
    Command.DEVICE_GET_REGION_IO_FDS: _get_io_fds,
    Command.DEVICE_GET_IRQ_INFO: _get_irq_info,
    Command.DEVICE_SET_IRQS: _set_irqs,
    Command.REGION_READ: _region_read,
    Command.REGION_WRITE: _region_write,
    Command.REGION_WRITE_MULTI: _write_multi,
    Command.DEVICE_RESET: _reset,
    Command.DEVICE_FEATURE: _feature,
    Command.MIG_DATA_READ: _migration,
    Command.MIG_DATA_WRITE: _migration,
}
