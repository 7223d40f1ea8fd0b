"""Status codes with their names and meanings (NVMe Base 2.0 §3.3.3.2.1; NVM Command Set 1.0 §3).

Codes that only fabrics or zoned namespaces know are named too, so that a message never
shows a bare number for something that the specification names.
"""

from __future__ import annotations

from pymmio_drivers.nvme import errors
from pymmio_drivers.nvme.errors import StatusError

__all__ = ["STATUS_CODES", "describe", "is_success", "status_error"]

# (status code type, status code): (name, meaning)
STATUS_CODES: dict[tuple[int, int], tuple[str, str]] = {
    # Generic Command Status
    (0, 0x00): ("Successful Completion", "the command completed without error"),
    (0, 0x01): ("Invalid Command Opcode", "the controller does not support the opcode"),
    (0, 0x02): ("Invalid Field in Command", "a field has an invalid or unsupported value"),
    (0, 0x03): ("Command ID Conflict", "the command identifier is already in use"),
    (0, 0x04): ("Data Transfer Error", "data or metadata could not be transferred"),
    (0, 0x05): ("Commands Aborted due to Power Loss Notification", "power is about to fail"),
    (0, 0x06): ("Internal Error", "the controller had an internal error"),
    (0, 0x07): ("Command Abort Requested", "an Abort command asked for it"),
    (0, 0x08): ("Command Aborted due to SQ Deletion", "its submission queue was deleted"),
    (0, 0x09): ("Command Aborted due to Failed Fused Command", "its partner failed"),
    (0, 0x0A): ("Command Aborted due to Missing Fused Command", "its partner is missing"),
    (0, 0x0B): ("Invalid Namespace or Format", "the namespace or its format is invalid"),
    (0, 0x0C): ("Command Sequence Error", "the command was not expected at this point"),
    (0, 0x0D): ("Invalid SGL Segment Descriptor", "an SGL segment descriptor is invalid"),
    (0, 0x0E): ("Invalid Number of SGL Descriptors", "an SGL has too many or no descriptors"),
    (0, 0x0F): ("Data SGL Length Invalid", "the data SGL is too short or too long"),
    (0, 0x10): ("Metadata SGL Length Invalid", "the metadata SGL is too short or too long"),
    (0, 0x11): ("SGL Descriptor Type Invalid", "an SGL descriptor type is not supported"),
    (0, 0x12): ("Invalid Use of Controller Memory Buffer", "the CMB may not be used like this"),
    (0, 0x13): ("PRP Offset Invalid", "a PRP entry has an offset that it must not have"),
    (0, 0x14): ("Atomic Write Unit Exceeded", "the write is longer than the atomic write unit"),
    (0, 0x15): ("Operation Denied", "access rights are missing"),
    (0, 0x16): ("SGL Offset Invalid", "the offset of an SGL descriptor is invalid"),
    (0, 0x18): ("Host Identifier Inconsistent Format", "64-bit and 128-bit host ids are mixed"),
    (0, 0x19): ("Keep Alive Timer Expired", "no keep alive came in time"),
    (0, 0x1A): ("Keep Alive Timeout Invalid", "the keep alive timeout is not supported"),
    (0, 0x1B): ("Command Aborted due to Preempt and Abort", "a reservation was pre-empted"),
    (0, 0x1C): ("Sanitize Failed", "the last sanitize failed, nothing else is allowed"),
    (0, 0x1D): ("Sanitize In Progress", "a sanitize operation is running"),
    (0, 0x1E): ("SGL Data Block Granularity Invalid", "an SGL ends inside a data block"),
    (0, 0x1F): ("Command Not Supported for Queue in CMB", "the queue lies in the CMB"),
    (0, 0x20): ("Namespace is Write Protected", "the namespace is write protected"),
    (0, 0x21): ("Command Interrupted", "the controller broke off the command; try again"),
    (0, 0x22): ("Transient Transport Error", "the transport failed for a moment"),
    (0, 0x23): ("Command Prohibited by Command and Feature Lockdown", "it is locked down"),
    (0, 0x24): ("Admin Command Media Not Ready", "the media is not ready yet"),
    (0, 0x80): ("LBA Out of Range", "the blocks lie beyond the end of the namespace"),
    (0, 0x81): ("Capacity Exceeded", "the namespace would grow beyond its capacity"),
    (0, 0x82): ("Namespace Not Ready", "the namespace cannot be accessed now"),
    (0, 0x83): ("Reservation Conflict", "another host holds a reservation"),
    (0, 0x84): ("Format In Progress", "the namespace is being formatted"),
    (0, 0x85): ("Invalid Value Size", "the value size is not supported"),
    (0, 0x86): ("Invalid Key Size", "the key size is not supported"),
    (0, 0x87): ("KV Key Does Not Exist", "there is no such key"),
    (0, 0x88): ("Unrecovered Error", "the data of the key could not be recovered"),
    (0, 0x89): ("Key Exists", "the key exists already"),
    # Command Specific Status
    (1, 0x00): ("Completion Queue Invalid", "the completion queue does not exist"),
    (1, 0x01): ("Invalid Queue Identifier", "the queue id is invalid, in use, or beyond the limit"),
    (1, 0x02): ("Invalid Queue Size", "the queue size is 0 or more than CAP.MQES allows"),
    (1, 0x03): ("Abort Command Limit Exceeded", "too many Abort commands at once"),
    (1, 0x05): ("Asynchronous Event Request Limit Exceeded", "too many event requests at once"),
    (1, 0x06): ("Invalid Firmware Slot", "the firmware slot is invalid or read-only"),
    (1, 0x07): ("Invalid Firmware Image", "the firmware image is invalid"),
    (1, 0x08): ("Invalid Interrupt Vector", "the vector is invalid or not enabled"),
    (1, 0x09): ("Invalid Log Page", "the controller does not support the log page"),
    (1, 0x0A): ("Invalid Format", "the LBA format is not supported"),
    (1, 0x0B): ("Firmware Activation Requires Conventional Reset", "a PCI reset is needed"),
    (1, 0x0C): ("Invalid Queue Deletion", "the queue cannot be deleted, or others use it"),
    (1, 0x0D): ("Feature Identifier Not Saveable", "the feature cannot be saved"),
    (1, 0x0E): ("Feature Not Changeable", "the feature cannot be changed"),
    (1, 0x0F): ("Feature Not Namespace Specific", "the feature holds for all namespaces"),
    (1, 0x10): ("Firmware Activation Requires NVM Subsystem Reset", "an NSSR is needed"),
    (1, 0x11): ("Firmware Activation Requires Controller Level Reset", "a reset is needed"),
    (1, 0x12): ("Firmware Activation Requires Maximum Time Violation", "it takes too long"),
    (1, 0x13): ("Firmware Activation Prohibited", "the image must not be activated"),
    (1, 0x14): ("Overlapping Range", "ranges overlap"),
    (1, 0x15): ("Namespace Insufficient Capacity", "there is not enough unallocated capacity"),
    (1, 0x16): ("Namespace Identifier Unavailable", "no more namespaces are supported"),
    (1, 0x18): ("Namespace Already Attached", "the namespace is attached to the controller"),
    (1, 0x19): ("Namespace Is Private", "the namespace belongs to another controller"),
    (1, 0x1A): ("Namespace Not Attached", "the namespace is not attached to the controller"),
    (1, 0x1B): ("Thin Provisioning Not Supported", "thin provisioning is not supported"),
    (1, 0x1C): ("Controller List Invalid", "the controller list is invalid"),
    (1, 0x1D): ("Device Self-test In Progress", "a self-test is running"),
    (1, 0x1E): ("Boot Partition Write Prohibited", "boot partitions are locked"),
    (1, 0x1F): ("Invalid Controller Identifier", "there is no such controller"),
    (1, 0x20): ("Invalid Secondary Controller State", "its state does not allow the action"),
    (1, 0x21): ("Invalid Number of Controller Resources", "too many or too few resources"),
    (1, 0x22): ("Invalid Resource Identifier", "there is no such resource"),
    (1, 0x23): ("Sanitize Prohibited While PMR is Enabled", "disable the PMR first"),
    (1, 0x24): ("ANA Group Identifier Invalid", "there is no such ANA group"),
    (1, 0x25): ("ANA Attach Failed", "the namespace could not be attached"),
    (1, 0x26): ("Insufficient Capacity", "there is not enough free capacity"),
    (1, 0x27): ("Namespace Attachment Limit Exceeded", "too many namespaces are attached"),
    (1, 0x28): ("Prohibition of Command Execution Not Supported", "it cannot be locked down"),
    (1, 0x29): ("I/O Command Set Not Supported", "the command set is not supported"),
    (1, 0x2A): ("I/O Command Set Not Enabled", "the command set is not enabled"),
    (1, 0x2B): ("I/O Command Set Combination Rejected", "this combination cannot be enabled"),
    (1, 0x2C): ("Invalid I/O Command Set", "the command set is invalid"),
    (1, 0x2D): ("Identifier Unavailable", "the identifier is in use"),
    (1, 0x80): ("Conflicting Attributes", "attributes of the command conflict"),
    (1, 0x81): ("Invalid Protection Information", "protection settings do not fit the format"),
    (1, 0x82): ("Attempted Write to Read Only Range", "the range is read-only"),
    (1, 0x83): ("Command Size Limit Exceeded", "the command exceeds a size limit"),
    (1, 0xB8): ("Zoned Boundary Error", "the command crosses the end of a zone"),
    (1, 0xB9): ("Zone Is Full", "the zone is full"),
    (1, 0xBA): ("Zone Is Read Only", "the zone is read-only"),
    (1, 0xBB): ("Zone Is Offline", "the zone is offline"),
    (1, 0xBC): ("Zone Invalid Write", "the write does not start at the write pointer"),
    (1, 0xBD): ("Too Many Active Zones", "no more zones may be active"),
    (1, 0xBE): ("Too Many Open Zones", "no more zones may be open"),
    (1, 0xBF): ("Invalid Zone State Transition", "the zone cannot change to that state"),
    # Media and Data Integrity Errors
    (2, 0x80): ("Write Fault", "the data could not be written to the media"),
    (2, 0x81): ("Unrecovered Read Error", "the data could not be read from the media"),
    (2, 0x82): ("End-to-end Guard Check Error", "the guard of the protection data is wrong"),
    (2, 0x83): ("End-to-end Application Tag Check Error", "the application tag is wrong"),
    (2, 0x84): ("End-to-end Reference Tag Check Error", "the reference tag is wrong"),
    (2, 0x85): ("Compare Failure", "the data on the media is different"),
    (2, 0x86): ("Access Denied", "access rights are missing"),
    (2, 0x87): ("Deallocated or Unwritten Logical Block", "the block holds no data"),
    (2, 0x88): ("End-to-End Storage Tag Check Error", "the storage tag is wrong"),
    # Path Related Status
    (3, 0x00): ("Internal Path Error", "the controller cannot reach the namespace"),
    (3, 0x01): ("Asymmetric Access Persistent Loss", "the path is lost for good"),
    (3, 0x02): ("Asymmetric Access Inaccessible", "the path is closed now"),
    (3, 0x03): ("Asymmetric Access Transition", "the path is changing"),
    (3, 0x60): ("Controller Pathing Error", "the controller found a path error"),
    (3, 0x70): ("Host Pathing Error", "the host found a path error"),
    (3, 0x71): ("Command Aborted By Host", "the host gave up the command"),
}

_TYPES: dict[int, type[StatusError]] = {
    0: errors.GenericStatusError,
    1: errors.CommandSpecificError,
    2: errors.MediaStatusError,
    3: errors.PathError,
}
_NARROW: dict[tuple[int, int], type[StatusError]] = {
    (0, 0x01): errors.InvalidOpcode,
    (0, 0x02): errors.InvalidField,
    (0, 0x07): errors.CommandAborted,
    (0, 0x08): errors.CommandAborted,
    (0, 0x0B): errors.InvalidNamespace,
    (0, 0x80): errors.LbaOutOfRange,
    (2, 0x85): errors.CompareFailure,
}
_TYPE_NAMES = ("generic", "command specific", "media", "path")


def is_success(status: int) -> bool:
    """Tell whether type and code of a status field (without phase bit) say success."""
    return status & 0x7FF == 0


def describe(status: int) -> tuple[str, str]:
    """Return name and meaning of a status field (without phase bit)."""
    sct, sc = status >> 8 & 7, status & 0xFF
    known = STATUS_CODES.get((sct, sc))
    if known:
        return known
    if sct == 7 or sc >= 0xC0:
        return "Vendor Specific", "only the vendor's documents tell what it means"
    return "Reserved", "the specification does not define this code"


def status_error(status: int, what: str, *, hint: str | None = None) -> StatusError:
    """Make the exception for a status field; ``what`` names the command and its target."""
    sct, sc = status >> 8 & 7, status & 0xFF
    name, meaning = describe(status)
    kind = _NARROW.get((sct, sc))
    if kind is None:
        vendor = (sct, sc) not in STATUS_CODES and name == "Vendor Specific"
        kind = errors.VendorStatusError if vendor else _TYPES.get(sct, StatusError)
    type_name = _TYPE_NAMES[sct] if sct < 4 else f"type {sct}"
    message = f"{what}: {name} ({type_name} status {sc:#04x}): {meaning}"
    if hint is None and status >> 13 & 1:
        hint = "The error log has details: Controller.admin.error_log()"
    return kind(message, status=status, name=name, meaning=meaning, hint=hint)
