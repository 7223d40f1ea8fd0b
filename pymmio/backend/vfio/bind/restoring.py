"""Give devices back to the drivers that they had, or to those that the kernel chooses."""

from __future__ import annotations

from pymmio.backend.vfio.bind import checks
from pymmio.backend.vfio.bind.binding import signals_held, to_address
from pymmio.backend.vfio.bind.giving_back import (
    current_driver,
    give_back,
    has_new_owner,
    is_same_device,
    steps_back,
)
from pymmio.backend.vfio.bind.ledger import Ledger, Record
from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.bind.result import BindResult, Change
from pymmio.backend.vfio.bind.steps import (
    Step,
    override_of,
    probe,
    set_override,
    unbind_from_driver,
)
from pymmio.backend.vfio.bind.vfio_users import refuse_vfio_users
from pymmio.backend.vfio.sysfs import PciFunction, directory
from pymmio.errors import BadArgument, DeviceNotFound, PymmioError, Unsupported
from pymmio.pci.address import PciAddress
from pymmio.policy import authorise
from pymmio.uri import DeviceUri

__all__ = ["recorded", "restore", "restore_all", "unbind"]


def recorded(*, machine: Machine | None = None) -> tuple[Change, ...]:
    """Return the devices that were bound and not given back: former driver and present one.

    Reads only.  A record that cannot be understood comes as a Change with its ``error``.
    """
    machine = Machine() if machine is None else machine
    ledger = Ledger(machine)
    changes = []
    for address in ledger.addresses():
        driver = current_driver(machine, address)
        try:
            record = ledger.find(address)
        except PymmioError as error:
            changes.append(Change(address, None, driver, error=error))
            continue
        if record is not None:
            changes.append(Change(address, record.former_driver, driver))
    return tuple(changes)


def restore(
    address: PciAddress | str, *, dry_run: bool = False, machine: Machine | None = None
) -> BindResult:
    """Give a device back to the driver that it had before ``bind``, from wherever it is now.

    Works after a crash in the middle of a change too.  The record goes away once that is done.
    A device that is gone, another one at its address, or one that has a third driver by now:
    the record is dropped.  Takes root.  Raises DeviceBusy if a process has it open through VFIO,
    DeviceNotFound without a record, PermissionRefused, Unsupported if the driver refuses.
    """
    machine = Machine() if machine is None else machine
    address = to_address(address)
    authorise(DeviceUri("vfio", str(address)))
    ledger = Ledger(machine)
    if dry_run:
        function, record = _look(machine, ledger, address)
        return _restored(machine, function, record, steps_back(machine, record), dry_run=True)
    if ledger.find(address) is None:
        raise _no_record(machine, address)
    if machine.exists(directory(address)):
        checks.refuse_without_rights(machine, PciFunction.look_up(machine, address), "restore")
    with ledger.locked((address,)):
        try:
            function, record = _look(machine, ledger, address)
        except DeviceNotFound:
            ledger.forget(address)
            raise
        steps = steps_back(machine, record)
        with signals_held():
            if has_new_owner(record, function):
                for step in steps:
                    step.perform(machine)
            else:
                give_back(machine, record)
            ledger.forget(address)
    return _restored(machine, function, record, steps, dry_run=False)


def restore_all(*, dry_run: bool = False, machine: Machine | None = None) -> tuple[BindResult, ...]:
    """Give back every device that was bound; one that cannot be does not stop the others.

    Its ``Change`` has the exception as ``error``.
    """
    machine = Machine() if machine is None else machine
    results = []
    for change in recorded(machine=machine):
        try:
            results.append(restore(change.address, dry_run=dry_run, machine=machine))
        except PymmioError as error:
            failed = Change(change.address, change.former, change.driver, error=error)
            results.append(BindResult(change.address, None, (failed,), dry_run))
    return tuple(results)


def unbind(
    address: PciAddress | str, *, dry_run: bool = False, machine: Machine | None = None
) -> BindResult:
    """Take a device from its VFIO driver and let the kernel choose one, as at boot.

    For devices that somebody else bound, or whose record is lost; ``restore`` is exact where
    there is a record, which this one drops.  A device that no driver wants stays without.
    Raises BadArgument if a driver other than VFIO's has it: that one is left alone; else as
    ``restore``.
    """
    machine = Machine() if machine is None else machine
    address = to_address(address)
    authorise(DeviceUri("vfio", str(address)))
    function = _held_by_vfio(machine, address)
    if dry_run:
        steps = _steps_to_kernel(machine, function)
        change = Change(address, function.driver, None, steps)
        return BindResult(address, function.iommu_group, (change,), dry_run=True)
    checks.refuse_without_rights(machine, function, "unbind")
    ledger = Ledger(machine)
    with ledger.locked((address,)):
        function = _held_by_vfio(machine, address)
        steps = _steps_to_kernel(machine, function)
        override = override_of(machine, address)
        with signals_held():
            try:
                for step in steps:
                    step.perform(machine)
            except PymmioError as error:
                _rebind(machine, function, override, error)
                raise
            ledger.forget(address)
    change = Change(address, function.driver, current_driver(machine, address), steps)
    return BindResult(address, function.iommu_group, (change,))


def _look(machine: Machine, ledger: Ledger, address: PciAddress) -> tuple[PciFunction, Record]:
    """Return a device and its record.  Raises DeviceNotFound, DeviceBusy."""
    record = ledger.find(address)
    if record is None:
        raise _no_record(machine, address)
    function = PciFunction.look_up(machine, address)
    if not is_same_device(record, function):
        raise DeviceNotFound(
            f"at {address} there is another device now than the one that was bound",
            hint="Nothing is to be given back; its record is dropped",
        )
    if function.is_bound_to_vfio:
        refuse_vfio_users(machine, function)
    return function, record


def _no_record(machine: Machine, address: PciAddress) -> PymmioError:
    function = PciFunction.look_up(machine, address)
    if function.is_bound_to_vfio:
        return Unsupported(
            f"what {address} was before {function.driver} is not on record: it was bound by other "
            "means, or before the last boot",
            hint=f"`pymmio unbind {address}` lets the kernel choose its driver",
        )
    return DeviceNotFound(
        f"there is nothing to restore: {address} has {function.driver or 'no driver'} and was not "
        "bound by pymmio",
        hint="`pymmio restore` lists what can be restored",
    )


def _restored(
    machine: Machine,
    function: PciFunction,
    record: Record,
    steps: tuple[Step, ...],
    *,
    dry_run: bool,
) -> BindResult:
    address = function.address
    remarks: tuple[str, ...] = ()
    now = record.former_driver if dry_run else current_driver(machine, address)
    if has_new_owner(record, function):
        now = function.driver
        remarks = (
            f"{address} had {record.former_driver or 'no driver'} before; somebody gave it to "
            f"{now} since, where it stays",
        )
    change = Change(address, function.driver, now, steps)
    return BindResult(address, function.iommu_group, (change,), dry_run, remarks)


def _held_by_vfio(machine: Machine, address: PciAddress) -> PciFunction:
    function = PciFunction.look_up(machine, address)
    if not function.is_bound_to_vfio and function.driver is not None:
        raise BadArgument(
            f"{address} is bound to {function.driver}, which is no driver of VFIO",
            hint="unbind gives back what VFIO has; it takes nothing from other drivers",
        )
    refuse_vfio_users(machine, function)
    return function


def _steps_to_kernel(machine: Machine, function: PciFunction) -> tuple[Step, ...]:
    steps: list[Step] = []
    if override_of(machine, function.address):
        steps.append(set_override(function.address, ""))
    if function.driver is not None:
        steps.append(unbind_from_driver(function.address, function.driver))
    steps.append(probe(function.address))
    return tuple(steps)


def _rebind(machine: Machine, function: PciFunction, override: str, error: PymmioError) -> None:
    """Put back the driver_override; the device itself if it has no driver now."""
    steps: list[Step] = []
    if override_of(machine, function.address) != override:
        steps.append(set_override(function.address, override))
    if current_driver(machine, function.address) is None:
        steps.append(probe(function.address))
    try:
        for step in steps:
            step.perform(machine)
    except PymmioError as problem:
        error.add_note(f"undoing it failed too: {problem}")
    else:
        now = current_driver(machine, function.address)
        error.add_note(f"{function.address} has {now or 'no driver'}")
