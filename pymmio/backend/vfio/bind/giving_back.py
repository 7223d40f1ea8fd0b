"""Give a device back to what it was: from any state that an interrupted change left."""

from __future__ import annotations

from pymmio.backend.vfio.bind.ledger import Record
from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.bind.steps import (
    LoadModule,
    Step,
    bind_to,
    override_of,
    probe,
    set_override,
    unbind_from_driver,
)
from pymmio.backend.vfio.sysfs import PciFunction, directory
from pymmio.errors import PymmioError, Unsupported
from pymmio.pci.address import PciAddress

__all__ = ["current_driver", "give_back", "has_new_owner", "is_same_device", "steps_back"]


def current_driver(machine: Machine, address: PciAddress) -> str | None:
    """Return the driver that has the device now."""
    return machine.link_name(f"{directory(address)}/driver")


def is_same_device(record: Record, function: PciFunction) -> bool:
    """Whether a record is about the device that is at its address now."""
    return (record.vendor_id, record.device_id) == (function.vendor_id, function.device_id)


def has_new_owner(record: Record, function: PciFunction) -> bool:
    """Whether somebody gave the device to a third driver meanwhile: there it stays."""
    return function.driver not in (None, record.former_driver) and not function.is_bound_to_vfio


def steps_back(machine: Machine, record: Record) -> tuple[Step, ...]:
    """Return what is to be done; nothing where the device is as it was.

    It depends on the state only, so after a crash in the middle the rest is done.
    """
    address = PciAddress.parse(record.address)
    function = PciFunction.look_up(machine, address)
    driver, former = function.driver, record.former_driver
    override, wanted = override_of(machine, address), record.former_override
    if driver == former or has_new_owner(record, function):
        return () if override == wanted else (set_override(address, wanted),)
    # Another driver_override than its own keeps the former driver away.
    meanwhile = wanted if former is None or wanted in ("", former) else ""
    steps: list[Step] = []
    if override != meanwhile:
        steps.append(set_override(address, meanwhile))
    if driver is not None:
        steps.append(unbind_from_driver(address, driver))
    if former is not None:
        if record.former_module and not machine.exists(f"/sys/bus/pci/drivers/{former}"):
            steps.append(LoadModule(record.former_module, f"the driver {former} is in it"))
        steps.append(bind_to(address, former))
    if meanwhile != wanted:
        steps.append(set_override(address, wanted))
    return tuple(steps)


def give_back(machine: Machine, record: Record) -> None:
    """Carry out ``steps_back``: all of it, whatever fails on the way, and once more.

    Raises the first error if the device does not have its former driver in the end.
    """
    address = PciAddress.parse(record.address)
    problem: PymmioError | None = None
    for step in steps_back(machine, record):
        problem = _attempt(machine, step) or problem
    for step in steps_back(machine, record):  # what failed once, or had not worked by then
        problem = _attempt(machine, step) or problem
    if record.former_driver is not None and current_driver(machine, address) is None:
        problem = _attempt(machine, probe(address)) or problem
    _check(machine, record, problem)


def _attempt(machine: Machine, step: Step) -> PymmioError | None:
    try:
        step.perform(machine)
    except PymmioError as error:
        return error
    return None


def _check(machine: Machine, record: Record, problem: PymmioError | None) -> None:
    address = PciAddress.parse(record.address)
    driver, former = current_driver(machine, address), record.former_driver
    if driver == former and override_of(machine, address) == record.former_override:
        return
    raise Unsupported(
        f"{address} could not be given back to {former or 'no driver'}: it has "
        f"{driver or 'no driver'} now" + (f" ({problem})" if problem else ""),
        hint=f"`pymmio restore {address}` tries again; the kernel's log (dmesg) may say why",
    ) from problem
