"""NVMe over PCIe: controller, namespaces, errors.

>>> from pymmio_drivers.nvme import Controller
>>> with Controller.open("sim:nvme?size=64M") as ctrl:
...     ns = ctrl.namespaces[1]
...     ns.write_bytes(b"pymmio".ljust(ns.block_size), lba=7)
...     ns.read_bytes(lba=7, blocks=1)[:6]
b'pymmio'
"""

from pymmio_drivers.nvme.admin import AdminResult
from pymmio_drivers.nvme.bench import Latency, Measurement
from pymmio_drivers.nvme.command import AdminOpcode, Cns, FeatureId, IoOpcode, LogId, Range
from pymmio_drivers.nvme.controller import MATCH, Controller
from pymmio_drivers.nvme.errors import (
    BufferMisaligned,
    BufferReadOnly,
    BufferSizeMismatch,
    CommandAborted,
    CommandSpecificError,
    CommandTimeout,
    CompareFailure,
    ControllerClosed,
    ControllerFailed,
    ControllerFatal,
    ControllerGone,
    GenericStatusError,
    InvalidField,
    InvalidNamespace,
    InvalidOpcode,
    LbaOutOfRange,
    MediaStatusError,
    NamespaceNotFound,
    NotDmaMemory,
    NvmeError,
    PathError,
    StatusError,
    VendorStatusError,
)
from pymmio_drivers.nvme.events import AsyncEvent
from pymmio_drivers.nvme.features import Feature, read_feature, read_features, set_feature
from pymmio_drivers.nvme.format import (
    Erase,
    FormatChoice,
    FormatScope,
    format_choices,
    format_namespace,
    format_scope,
)
from pymmio_drivers.nvme.histogram import Bucket, log_buckets
from pymmio_drivers.nvme.logs import (
    CommandEffect,
    Effect,
    command_effects,
    log_size,
    supported_logs,
)
from pymmio_drivers.nvme.namespace import Namespace
from pymmio_drivers.nvme.recovery import State
from pymmio_drivers.nvme.registers import Registers
from pymmio_drivers.nvme.request import Completion, Request
from pymmio_drivers.nvme.structures import (
    CriticalWarning,
    ErrorLogEntry,
    FirmwareSlotLog,
    IdentifyController,
    IdentifyNamespace,
    LbaFormat,
    NamespaceId,
    SmartLog,
    celsius,
)

REGISTERS, REGISTER_BAR = Registers, 0  # for ``pymmio regs``

__all__ = [
    "MATCH",
    "REGISTERS",
    "REGISTER_BAR",
    "AdminOpcode",
    "AdminResult",
    "AsyncEvent",
    "Bucket",
    "BufferMisaligned",
    "BufferReadOnly",
    "BufferSizeMismatch",
    "Cns",
    "CommandAborted",
    "CommandEffect",
    "CommandSpecificError",
    "CommandTimeout",
    "CompareFailure",
    "Completion",
    "Controller",
    "ControllerClosed",
    "ControllerFailed",
    "ControllerFatal",
    "ControllerGone",
    "CriticalWarning",
    "Effect",
    "Erase",
    "ErrorLogEntry",
    "Feature",
    "FeatureId",
    "FirmwareSlotLog",
    "FormatChoice",
    "FormatScope",
    "GenericStatusError",
    "IdentifyController",
    "IdentifyNamespace",
    "InvalidField",
    "InvalidNamespace",
    "InvalidOpcode",
    "IoOpcode",
    "Latency",
    "LbaFormat",
    "LbaOutOfRange",
    "LogId",
    "Measurement",
    "MediaStatusError",
    "Namespace",
    "NamespaceNotFound",
    "NamespaceId",
    "NotDmaMemory",
    "NvmeError",
    "PathError",
    "Range",
    "Request",
    "SmartLog",
    "State",
    "StatusError",
    "VendorStatusError",
    "celsius",
    "command_effects",
    "format_choices",
    "format_namespace",
    "format_scope",
    "log_buckets",
    "log_size",
    "read_feature",
    "read_features",
    "set_feature",
    "supported_logs",
]
