"""Identify data structures (NVMe Base 1.4 §5.15; Base 2.0 §5.17, NVM Command Set 1.0 §4.1.5).

Offsets are bytes; everything that is not written here is 0, "not supported".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from pymmio.models.nvme.namespace import LBA_SHIFTS, Namespace
from pymmio.models.nvme.options import NvmeOptions
from pymmio.models.nvme.status import CommandError, Status

__all__ = ["SIZE", "Identity", "identify"]

SIZE = 4096
_MODEL = "pymmio NVMe model"
_FIRMWARE = "1.0"
_ERROR_LOG_ENTRIES = 64
WARNING_TEMPERATURE = 0x157  # kelvin: 70 °C, recommended by Base 1.4 §5.15.2.2
CRITICAL_TEMPERATURE = 0x175  # 100 °C
BROADCAST = 0xFFFF_FFFF

_CNS_BYTE = 40  # of the submission queue entry


class Identity:
    """What a controller says of itself and its namespaces."""

    def __init__(
        self,
        options: NvmeOptions,
        vendor_id: int,
        subsystem_vendor_id: int,
        namespaces: Mapping[int, Namespace],
    ) -> None:
        self.options = options
        self.vendor_id = vendor_id
        self.subsystem_vendor_id = subsystem_vendor_id
        self.namespaces = namespaces
        self.error_log_entries = _ERROR_LOG_ENTRIES

    def find(self, nsid: int) -> Namespace | None:
        """Return a namespace, None if it is inactive; CommandError if it cannot exist."""
        if not 1 <= nsid <= self.options.nn:
            raise CommandError(Status.INVALID_NAMESPACE_OR_FORMAT, location=4)
        return self.namespaces.get(nsid)

    def controller(self) -> bytes:
        """CNS 01h: Identify Controller."""
        options = self.options
        data = bytearray(SIZE)
        pack = struct.pack_into
        pack("<HH", data, 0, self.vendor_id, self.subsystem_vendor_id)
        data[4:24] = options.serial.encode().ljust(20)
        data[24:64] = _MODEL.encode().ljust(40)
        data[64:72] = _FIRMWARE.encode().ljust(8)
        data[72] = 6  # RAB: recommended arbitration burst 2**6
        data[73:76] = b"\x00\x54\x52"  # IEEE OUI, least significant byte first
        data[77] = options.mdts
        pack("<I", data, 80, options.vs)  # VER
        pack("<I", data, 92, 1 << 8)  # OAES: namespace attribute notices
        data[111] = 1  # CNTRLTYPE: I/O controller
        pack("<H", data, 256, 1 << 1)  # OACS: Format NVM
        data[258] = 3  # ACL
        data[259] = options.aerl
        data[260] = 1 << 1 | 1  # FRMW: one slot, read-only
        data[261] = 1 << 2 | 1 << 1 | 1 << 0  # LPA: extended data, effects log, SMART per NS
        data[262] = _ERROR_LOG_ENTRIES - 1  # ELPE
        pack("<HH", data, 266, WARNING_TEMPERATURE, CRITICAL_TEMPERATURE)
        capacity = sum(namespace.size for namespace in self.namespaces.values())
        data[280:296] = capacity.to_bytes(16, "little")  # TNVMCAP
        data[512] = 0x66  # SQES: 64 bytes
        data[513] = 0x44  # CQES: 16 bytes
        pack("<I", data, 516, options.nn)  # NN
        # ONCS: compare, write uncorrectable, dataset management, write zeroes,
        # save and select fields, timestamp
        pack("<H", data, 520, 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6)
        data[525] = 3 << 1 | 1  # VWC: present; Flush takes the broadcast NSID
        subnqn = f"nqn.2014-08.org.nvmexpress:uuid:{self.namespaces[1].uuid}"
        data[768 : 768 + len(subnqn)] = subnqn.encode()
        pack("<HBBII", data, 2048, 2500, 0, 0, 16, 4)  # PSD0: 25 W, entry and exit latency µs
        return bytes(data)

    def namespace(self, namespace: Namespace | None) -> bytes:
        """CNS 00h and 11h: Identify Namespace; all zero for one that is not there."""
        data = bytearray(SIZE)
        if namespace is None:
            return bytes(data)
        blocks = namespace.block_count
        struct.pack_into("<QQQ", data, 0, blocks, blocks, blocks)  # NSZE, NCAP, NUSE
        data[25] = len(LBA_SHIFTS) - 1  # NLBAF
        data[26] = LBA_SHIFTS.index(namespace.shift)  # FLBAS
        data[33] = 1  # DLFEAT: deallocated blocks read as zeroes
        data[48:64] = namespace.size.to_bytes(16, "little")  # NVMCAP
        data[104:120] = namespace.nguid
        data[120:128] = namespace.eui64
        for index, shift in enumerate(LBA_SHIFTS):
            struct.pack_into("<HBB", data, 128 + 4 * index, 0, shift, 0)  # MS, LBADS, RP
        return bytes(data)

    def descriptors(self, namespace: Namespace) -> bytes:
        """CNS 03h: namespace identification descriptors."""
        entries = [(1, namespace.eui64), (2, namespace.nguid), (3, namespace.uuid.bytes)]
        if self.options.is_2_0:
            entries.append((4, b"\x00"))  # CSI: NVM command set
        return b"".join(
            struct.pack("<BBxx", kind, len(value)) + value for kind, value in entries
        ).ljust(SIZE, b"\0")

    def active_list(self, after: int) -> bytes:
        """CNS 02h, 07h and 10h: identifiers above ``after``, ascending, at most 1024."""
        if after >= BROADCAST - 1:
            raise CommandError(Status.INVALID_NAMESPACE_OR_FORMAT, location=4)
        found = sorted(nsid for nsid in self.namespaces if nsid > after)[:1024]
        return struct.pack(f"<{len(found)}I", *found).ljust(SIZE, b"\0")

    def independent_namespace(self, namespace: Namespace | None) -> bytes:
        """CNS 08h: what of a namespace does not depend on its command set (2.0)."""
        data = bytearray(SIZE)
        if namespace is not None:
            data[14] = 1  # NSTAT: ready
        return bytes(data)


def identify(identity: Identity, nsid: int, cns: int, csi: int) -> bytes:
    """Return the 4096 bytes that an Identify command asks for.  Raises CommandError."""
    match cns:
        case 0x00 | 0x11:
            return identity.namespace(identity.find(nsid))
        case 0x01:
            return identity.controller()
        case 0x02 | 0x10:
            return identity.active_list(nsid)
        case 0x03:
            return identity.descriptors(_active(identity, nsid))
    if identity.options.is_2_0 and csi == 0:
        match cns:
            case 0x05:  # NVM command set specific namespace: no metadata, all zero
                identity.find(nsid)
                return bytes(SIZE)
            case 0x06:  # NVM command set specific controller: no limits, all zero
                return bytes(SIZE)
            case 0x07:
                return identity.active_list(nsid)
            case 0x08:
                return identity.independent_namespace(identity.find(nsid))
            case 0x1C:  # I/O command sets: combination 0 is the NVM command set alone
                return b"\x01".ljust(SIZE, b"\0")
    raise CommandError(Status.INVALID_FIELD, location=_CNS_BYTE)


def _active(identity: Identity, nsid: int) -> Namespace:
    namespace = identity.find(nsid)
    if namespace is None:
        raise CommandError(Status.INVALID_FIELD, location=4)
    return namespace


def active_namespaces(namespaces: Mapping[int, Namespace], nsid: int) -> Iterable[Namespace]:
    """Return the namespace, or all of them for the broadcast identifier."""
    if nsid == BROADCAST:
        return tuple(namespaces.values())
    return (namespaces[nsid],)
