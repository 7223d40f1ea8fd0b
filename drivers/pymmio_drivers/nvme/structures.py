"""What identify and log page commands return (NVMe Base 2.0 §5.16.1, §5.17.2; NVM Command Set
1.0 §4.1.5).  Only what the driver uses or people ask for is named; the rest stays bytes."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from uuid import UUID

from pymmio.errors import ProtocolError
from pymmio.regs import U8, U16, U32, U64, U128, ArrayOf, Ascii, Bits, Bytes, Layout

__all__ = [
    "IDENTIFY_SIZE",
    "CriticalWarning",
    "ErrorLogEntry",
    "FirmwareSlotLog",
    "IdentifyController",
    "IdentifyNamespace",
    "LbaFormat",
    "NamespaceId",
    "SmartLog",
    "celsius",
    "parse_active_namespaces",
    "parse_changed_namespaces",
    "parse_namespace_ids",
]

IDENTIFY_SIZE = 4096


class PowerState(Layout, size=32, byteorder="little"):
    """Power state descriptor (NVMe Base 2.0 §5.17.2.1)."""

    mp = U16(0, doc="maximum power, in 10 mW or 0.1 mW")
    flags = U8(3)
    mxps = Bits(flags, bit=0, doc="maximum power is in 0.1 mW")
    nops = Bits(flags, bit=1, doc="non-operational state")
    enlat = U32(4, doc="entry latency in microseconds")
    exlat = U32(8, doc="exit latency in microseconds")


class IdentifyController(Layout, size=IDENTIFY_SIZE, byteorder="little"):
    """Identify Controller, CNS 01h (NVMe Base 2.0 §5.17.2.1; bytes 521:518 NVM Command Set)."""

    vid = U16(0, doc="PCI vendor id")
    ssvid = U16(2, doc="PCI subsystem vendor id")
    sn = Ascii(4, 20, doc="serial number")
    mn = Ascii(24, 40, doc="model number")
    fr = Ascii(64, 8, doc="firmware revision")
    rab = U8(72, doc="recommended arbitration burst, as a power of two")
    ieee = Bytes(73, 3, doc="OUI of the vendor, least significant byte first")
    cmic = U8(76, doc="multi-path I/O and namespace sharing")
    mdts = U8(77, doc="longest transfer, 2**n smallest memory pages; 0: no limit")
    cntlid = U16(78, doc="controller id")
    ver = U32(80, doc="version, as in VS")
    rtd3r = U32(84, doc="time to resume from D3, in microseconds")
    rtd3e = U32(88, doc="time to enter D3, in microseconds")
    oaes = U32(92, doc="optional asynchronous events supported")
    ctratt = U32(96, doc="controller attributes")
    cntrltype = U8(111, doc="1: I/O, 2: discovery, 3: administrative controller")
    oacs = U16(256, doc="optional admin commands supported")
    oacs_security = Bits(oacs, bit=0, doc="Security Send and Receive")
    oacs_format = Bits(oacs, bit=1, doc="Format NVM")
    oacs_firmware = Bits(oacs, bit=2, doc="Firmware Commit and Image Download")
    oacs_ns_management = Bits(oacs, bit=3, doc="Namespace Management and Attachment")
    oacs_self_test = Bits(oacs, bit=4, doc="Device Self-test")
    acl = U8(258, doc="Abort commands at once, minus 1")
    aerl = U8(259, doc="Asynchronous Event Requests at once, minus 1")
    frmw = U8(260, doc="firmware updates")
    lpa = U8(261, doc="log page attributes")
    lpa_extended = Bits(lpa, bit=2, doc="Get Log Page takes an offset and a 32-bit length")
    elpe = U8(262, doc="error log entries, minus 1")
    npss = U8(263, doc="power states, minus 1")
    wctemp = U16(266, doc="warning temperature in kelvin")
    cctemp = U16(268, doc="critical temperature in kelvin")
    tnvmcap = U128(280, doc="total NVM capacity in bytes")
    unvmcap = U128(296, doc="unallocated NVM capacity in bytes")
    sqes = U8(512, doc="SQ entry size: required in bits 3:0, largest in 7:4, powers of two")
    sqes_min = Bits(sqes, bits=(0, 3))
    sqes_max = Bits(sqes, bits=(4, 7))
    cqes = U8(513, doc="CQ entry size, likewise")
    cqes_min = Bits(cqes, bits=(0, 3))
    cqes_max = Bits(cqes, bits=(4, 7))
    maxcmd = U16(514, doc="commands at once")
    nn = U32(516, doc="highest namespace id")
    oncs = U16(520, doc="optional NVM commands supported")
    oncs_compare = Bits(oncs, bit=0, doc="Compare")
    oncs_write_uncorrectable = Bits(oncs, bit=1, doc="Write Uncorrectable")
    oncs_dataset_management = Bits(oncs, bit=2, doc="Dataset Management")
    oncs_write_zeroes = Bits(oncs, bit=3, doc="Write Zeroes")
    oncs_save_select = Bits(oncs, bit=4, doc="save and select of features")
    oncs_reservations = Bits(oncs, bit=5, doc="reservations")
    oncs_timestamp = Bits(oncs, bit=6, doc="Timestamp feature")
    oncs_verify = Bits(oncs, bit=7, doc="Verify")
    fuses = U16(522, doc="fused operations supported")
    fna = U8(524, doc="Format NVM attributes")
    vwc = U8(525, doc="volatile write cache")
    vwc_present = Bits(vwc, bit=0, doc="a volatile write cache is present")
    awun = U16(526, doc="atomic write unit, blocks minus 1")
    awupf = U16(528, doc="atomic write unit at power fail, blocks minus 1")
    sgls = U32(536, doc="SGL support")
    subnqn = Ascii(768, 256, doc="NVMe qualified name of the subsystem")
    psd = ArrayOf(PowerState, 2048, count=32, doc="power states")


class LbaFormat(Layout, size=4, byteorder="little"):
    """LBA format (NVM Command Set 1.0 §4.1.5.1)."""

    ms = U16(0, doc="metadata bytes per block")
    lbads = U8(2, doc="a block has 2**lbads bytes of data")
    performance = U8(3)
    rp = Bits(performance, bits=(0, 1), doc="relative performance, 0 is best")


class IdentifyNamespace(Layout, size=IDENTIFY_SIZE, byteorder="little"):
    """Identify Namespace of the NVM command set, CNS 00h (NVM Command Set 1.0 §4.1.5.1)."""

    nsze = U64(0, doc="size in blocks")
    ncap = U64(8, doc="capacity in blocks")
    nuse = U64(16, doc="blocks in use")
    nsfeat = U8(24, doc="features")
    thin = Bits(nsfeat, bit=0, doc="thin provisioning")
    nlbaf = U8(25, doc="LBA formats, minus 1")
    flbas = U8(26, doc="formatted LBA size")
    flbas_low = Bits(flbas, bits=(0, 3), doc="format index, bits 3:0")
    flbas_extended = Bits(flbas, bit=4, doc="metadata follows the data of each block")
    flbas_high = Bits(flbas, bits=(5, 6), doc="format index, bits 5:4")
    mc = U8(27, doc="metadata capabilities")
    dpc = U8(28, doc="protection information capabilities")
    dps = U8(29, doc="protection information settings")
    pi_type = Bits(dps, bits=(0, 2), doc="protection information type, 0: none")
    nmic = U8(30, doc="multi-path I/O and sharing")
    rescap = U8(31, doc="reservation capabilities")
    fpi = U8(32, doc="format progress")
    dlfeat = U8(33, doc="deallocated blocks read as...")
    nawun = U16(34)
    nawupf = U16(36)
    noiob = U16(46, doc="optimal I/O boundary in blocks")
    nvmcap = U128(48, doc="capacity in bytes")
    mssrl = U16(74)
    mcl = U32(76)
    nsattr = U8(99, doc="attributes")
    write_protected = Bits(nsattr, bit=0, doc="the namespace is write protected")
    nguid = Bytes(104, 16, doc="globally unique id")
    eui64 = Bytes(120, 8, doc="IEEE extended unique id")
    lbaf = ArrayOf(LbaFormat, 128, count=64, doc="LBA formats")

    @property
    def format_index(self) -> int:
        """Index of the LBA format in use; the upper bits count where there are more than 16."""
        low, high = int(self.flbas_low), int(self.flbas_high)
        return low | high << 4 if self.nlbaf >= 16 else low


class CriticalWarning(enum.IntFlag):
    """Critical Warning of the SMART log (NVMe Base 2.0 §5.16.1.3)."""

    SPARE_LOW = 1 << 0
    TEMPERATURE = 1 << 1
    RELIABILITY_DEGRADED = 1 << 2
    READ_ONLY = 1 << 3
    VOLATILE_BACKUP_FAILED = 1 << 4
    PERSISTENT_MEMORY_UNRELIABLE = 1 << 5


_DATA_UNIT = 512 * 1000  # bytes; the controller rounds up


def celsius(kelvin: int) -> int:
    """Return a temperature, which NVMe has in whole kelvin, in degrees Celsius."""
    return kelvin - 273


class SmartLog(Layout, size=512, byteorder="little"):
    """SMART / Health Information, log page 02h (NVMe Base 2.0 §5.16.1.3)."""

    critical_warning = U8(0)
    composite_temperature = U16(1, doc="kelvin")
    available_spare = U8(3, doc="percent")
    available_spare_threshold = U8(4, doc="percent")
    percentage_used = U8(5, doc="percent; may exceed 100")
    endurance_group_summary = U8(6)
    data_units_read = U128(32, doc="thousands of 512 bytes")
    data_units_written = U128(48, doc="thousands of 512 bytes")
    host_read_commands = U128(64)
    host_write_commands = U128(80)
    controller_busy_time = U128(96, doc="minutes")
    power_cycles = U128(112)
    power_on_hours = U128(128)
    unsafe_shutdowns = U128(144)
    media_errors = U128(160)
    error_log_entries = U128(176)
    warning_temperature_time = U32(192, doc="minutes")
    critical_temperature_time = U32(196, doc="minutes")
    temperature_sensors = ArrayOf(U16, 200, count=8, doc="kelvin; 0: none")

    @property
    def warnings(self) -> CriticalWarning:
        """The critical warnings."""
        return CriticalWarning(int(self.critical_warning))

    @property
    def temperature_c(self) -> int:
        """Composite temperature in degrees Celsius."""
        return celsius(int(self.composite_temperature))

    @property
    def sensors_c(self) -> dict[int, int]:
        """Temperatures of the sensors that there are, in degrees Celsius, by number (1 to 8)."""
        sensors = enumerate(self.temperature_sensors, start=1)
        return {index: celsius(int(kelvin)) for index, kelvin in sensors if kelvin}

    @property
    def bytes_read(self) -> int:
        """Bytes that hosts have read, in steps of 512000."""
        return int(self.data_units_read) * _DATA_UNIT

    @property
    def bytes_written(self) -> int:
        """Bytes that hosts have written, in steps of 512000."""
        return int(self.data_units_written) * _DATA_UNIT


class ErrorLogEntry(Layout, size=64, byteorder="little"):
    """Error Information, one entry of log page 01h (NVMe Base 2.0 §5.16.1.2)."""

    error_count = U64(0, doc="0: the entry is not valid")
    sqid = U16(8)
    cid = U16(10)
    status_and_phase = U16(12)
    phase = Bits(status_and_phase, bit=0)
    status = Bits(status_and_phase, bits=(1, 15))
    parameter_error_location = U16(14)
    lba = U64(16)
    nsid = U32(24)
    vendor_specific_log = U8(28)


class FirmwareSlotLog(Layout, size=512, byteorder="little"):
    """Firmware Slot Information, log page 03h (NVMe Base 2.0 §5.16.1.4)."""

    afi = U8(0)
    active_slot = Bits(afi, bits=(0, 2))
    next_slot = Bits(afi, bits=(4, 6))
    slot1 = Ascii(8, 8)
    slot2 = Ascii(16, 8)
    slot3 = Ascii(24, 8)
    slot4 = Ascii(32, 8)
    slot5 = Ascii(40, 8)
    slot6 = Ascii(48, 8)
    slot7 = Ascii(56, 8)


@dataclass(frozen=True, slots=True)
class NamespaceId:
    """One namespace identification descriptor: ``kind`` is eui64, nguid, uuid, csi or a number."""

    kind: str
    value: bytes

    def __str__(self) -> str:
        return str(UUID(bytes=self.value)) if self.kind == "uuid" else self.value.hex()


_ID_KINDS = {1: ("eui64", 8), 2: ("nguid", 16), 3: ("uuid", 16), 4: ("csi", 1)}


def parse_active_namespaces(data: bytes) -> tuple[int, ...]:
    """Return the ids of an active namespace list, CNS 02h: ascending, ended by 0.

    Raises ProtocolError if they do not ascend: the next list could never be asked for.
    """
    ids: list[int] = []
    for (nsid,) in struct.iter_unpack("<I", data[:IDENTIFY_SIZE]):
        if nsid == 0:
            break
        if nsid <= (ids[-1] if ids else 0) or nsid > 0xFFFF_FFFE:
            raise ProtocolError(f"active namespace list: {nsid:#x} after {ids[-1:]}")
        ids.append(nsid)
    return tuple(ids)


def parse_changed_namespaces(data: bytes) -> tuple[int, ...] | None:
    """Return the ids of a changed namespace list, log page 04h, ended by 0.

    None where the first one says that more than 1024 changed (NVMe Base 2.0 §5.16.1.5).
    """
    ids = [nsid for (nsid,) in struct.iter_unpack("<I", data[:IDENTIFY_SIZE])]
    if ids and ids[0] == 0xFFFF_FFFF:
        return None
    return tuple(ids[: ids.index(0)] if 0 in ids else ids)


def parse_namespace_ids(data: bytes) -> tuple[NamespaceId, ...]:
    """Return the descriptors of CNS 03h (NVMe Base 2.0 §5.17.2.3), ended by length 0.

    Raises ProtocolError for a descriptor that does not fit or has the wrong length.
    """
    found: list[NamespaceId] = []
    at = 0
    while at + 4 <= len(data):
        kind, length = data[at], data[at + 1]
        if length == 0:
            break
        name, expected = _ID_KINDS.get(kind, (str(kind), length))
        if at + 4 + length > len(data) or length != expected:
            raise ProtocolError(
                f"namespace id descriptor of type {kind} at byte {at} has length {length}"
            )
        found.append(NamespaceId(name, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return tuple(found)
