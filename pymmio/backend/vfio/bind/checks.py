"""May a function be given to vfio-pci?  Each reason why not is one exception."""

from __future__ import annotations

from collections.abc import Sequence

from pymmio.backend.vfio import refusals
from pymmio.backend.vfio.bind.inuse import Use, claimed_disks, find_uses
from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.sysfs import GroupMember, PciFunction, directory, group_members
from pymmio.errors import BadArgument, DeviceBusy, PermissionRefused, Unsupported
from pymmio.pci.address import PciAddress

__all__ = [
    "blocking_members",
    "refuse_bridge",
    "refuse_group",
    "refuse_unconfined",
    "refuse_used",
    "refuse_without_rights",
]

_HEADER_TYPE = 0x0E  # PCI Local Bus 3.0 §6.2.1: bit 7 multi-function, the rest the layout
_NOIOMMU_MODE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


def refuse_bridge(machine: Machine, function: PciFunction) -> None:
    """Raise Unsupported for a bridge: VFIO takes functions of header type 0 only."""
    header = _header_type(machine, function.address)
    if header != 0:
        raise Unsupported(
            f"{function.address} is a bridge (header type {header}), which VFIO never takes",
            hint="Bind the devices behind it instead",
        )


def refuse_unconfined(machine: Machine, function: PciFunction) -> None:
    """Raise Unsupported where no IOMMU stands before the device, unless that was allowed."""
    if function.iommu_group is not None:
        return
    if machine.text_or_none(_NOIOMMU_MODE) not in ("Y", "1"):
        raise refusals.no_iommu_group(machine, function)


def refuse_without_rights(machine: Machine, function: PciFunction, verb: str) -> None:
    """Raise PermissionRefused where this process cannot write to sysfs."""
    path = f"{directory(function.address)}/driver_override"
    if not machine.exists(path):
        raise Unsupported(
            f"{function.address} has no driver_override, as every kernel since 3.16 has",
            hint="Is /sys that of the machine?",
        )
    if machine.is_read_only(path):
        raise PermissionRefused(
            f"the driver of {function.address} cannot be changed: sysfs is mounted read-only",
            hint="So it is in containers: bind on the machine itself",
        )
    if not machine.may_write(path):
        raise PermissionRefused(
            f"only root may change the driver of {function.address}",
            hint=f"sudo pymmio {verb} {function.address}; `pymmio setup-user` prints what it takes "
            "to use the device without root afterwards, --dry-run shows the steps",
        )


def blocking_members(machine: Machine, function: PciFunction) -> tuple[GroupMember, ...]:
    """Return the other members of the group whose drivers keep VFIO from using it."""
    if function.iommu_group is None:
        return ()
    members = group_members(machine, function.iommu_group)
    return tuple(m for m in members if m.blocks and m.address != str(function.address))


def refuse_group(function: PciFunction, blocking: Sequence[GroupMember]) -> None:
    """Raise DeviceBusy if there are members in the way."""
    if not blocking:
        return
    raise DeviceBusy(
        f"{function.address} alone would be no use: IOMMU group {function.iommu_group} can be "
        f"used only as a whole, and kernel drivers have {', '.join(map(str, blocking))}",
        hint=f"`pymmio bind --group {function.address}` binds them all (each is looked at "
        "first); --force binds this one nevertheless",
    )


def refuse_used(
    machine: Machine, function: PciFunction, *, force: bool, claims: bool
) -> tuple[str, ...]:
    """Raise DeviceBusy naming every use of the function; return remarks.

    ``force`` overrides those uses that survive it.  ``claims``: ask also by opening the disks.
    """
    findings = find_uses(machine, function)
    uses = list(findings.uses)
    if claims and all(use.may_force for use in uses):
        uses += claimed_disks(machine, findings.disks)
    in_the_way = [use for use in uses if not (force and use.may_force)]
    if in_the_way:
        raise _in_use(function, in_the_way)
    remarks = [f"{function.address}: {use} (overridden)" for use in uses]
    if findings.hidden_processes:
        remarks.append(
            f"{findings.hidden_processes} processes of others could not be looked into; root sees "
            "what they have open"
        )
    return tuple(remarks)


def _in_use(function: PciFunction, uses: Sequence[Use]) -> DeviceBusy:
    remedies = list(dict.fromkeys(use.remedy for use in uses if use.remedy))
    hints = []
    if remedies:
        hints.append(f"First: {'; '.join(remedies)}")
    if all(use.may_force for use in uses):
        hints.append("--force (force=True) takes it away from them all the same")
    elif not remedies:
        hints.append("There is no way to bind it while that is so")
    return DeviceBusy(
        f"{function.address} ({function.driver or 'no driver'}) is in use: "
        f"{'; '.join(map(str, uses))}",
        hint=". ".join(hints),
    )


def _header_type(machine: Machine, address: PciAddress) -> int:
    path = f"{directory(address)}/config"
    try:
        fd = machine.open(path, 0)
        try:
            data = machine.pread(fd, 1, _HEADER_TYPE)
        finally:
            machine.close(fd)
    except OSError as error:
        raise BadArgument(f"{path} cannot be read: {refusals.reason(error)}") from error
    if not data or data[0] == 0xFF:
        raise Unsupported(
            f"{address} does not answer: its configuration space reads as ones",
            hint="It is powered off or was removed; see `pymmio list`",
        )
    return data[0] & 0x7F
