"""The messages of the vfio-user protocol 0.1: forms and checks, without any socket.

Each message is a value with ``pack()`` and ``parse(payload)``; the payload is what stands behind
the header.  Everything that the other side says is checked when it is parsed: lengths, counts
and offsets that cannot be raise ProtocolError, and nothing else is ever raised.
Source: QEMU, docs/interop/vfio-user.rst (version 0.1 of the protocol).
"""

from pymmio.backend.vfio_user.messages.access import (
    MULTI_WRITE_SIZE,
    RegionData,
    RegionRequest,
    WriteMulti,
    WriteMultiReply,
)
from pymmio.backend.vfio_user.messages.device import (
    DEVICE_INFO_SIZE,
    REGION_INFO_SIZE,
    DeviceFlags,
    DeviceInfo,
    RegionFlags,
    RegionInfoReply,
    RegionInfoRequest,
    RegionType,
    SparseArea,
)
from pymmio.backend.vfio_user.messages.dma import (
    DmaData,
    DmaFlags,
    DmaMap,
    DmaRequest,
    DmaUnmap,
    UnmapFlags,
)
from pymmio.backend.vfio_user.messages.feature import (
    DeviceFeature,
    Feature,
    FeatureFlags,
    MigrationData,
)
from pymmio.backend.vfio_user.messages.header import (
    HEADER_SIZE,
    Command,
    Flags,
    Header,
    command_name,
)
from pymmio.backend.vfio_user.messages.iofds import (
    IO_FDS_SIZE,
    IoFd,
    IoFdFlags,
    IoFdsReply,
    IoFdsRequest,
    IoFdType,
)
from pymmio.backend.vfio_user.messages.irq import (
    IrqAction,
    IrqData,
    IrqFlags,
    IrqIndex,
    IrqInfo,
    SetIrqs,
)
from pymmio.backend.vfio_user.messages.version import (
    DEFAULT_DATA_XFER_SIZE,
    MAJOR,
    MAX_MINOR,
    MAX_VERSION_SIZE,
    Capabilities,
    TwinSocket,
    Version,
)

__all__ = [
    "Capabilities",
    "Command",
    "DEFAULT_DATA_XFER_SIZE",
    "DEVICE_INFO_SIZE",
    "DeviceFeature",
    "DeviceFlags",
    "DeviceInfo",
    "DmaData",
    "DmaFlags",
    "DmaMap",
    "DmaRequest",
    "DmaUnmap",
    "Feature",
    "FeatureFlags",
    "Flags",
    "HEADER_SIZE",
    "Header",
    "IO_FDS_SIZE",
    "IoFd",
    "IoFdFlags",
    "IoFdType",
    "IoFdsReply",
    "IoFdsRequest",
    "IrqAction",
    "IrqData",
    "IrqFlags",
    "IrqIndex",
    "IrqInfo",
    "MAJOR",
    "MAX_MINOR",
    "MAX_VERSION_SIZE",
    "MULTI_WRITE_SIZE",
    "MigrationData",
    "REGION_INFO_SIZE",
    "RegionData",
    "RegionFlags",
    "RegionInfoReply",
    "RegionInfoRequest",
    "RegionRequest",
    "RegionType",
    "SetIrqs",
    "SparseArea",
    "TwinSocket",
    "UnmapFlags",
    "Version",
    "WriteMulti",
    "WriteMultiReply",
    "command_name",
]
