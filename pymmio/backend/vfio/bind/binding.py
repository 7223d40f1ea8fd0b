"""Bind functions to vfio-pci: look, remember, change step by step, and undo what fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pymmio.backend.vfio.bind import checks
from pymmio.backend.vfio.bind.giving_back import current_driver, give_back, is_same_device
from pymmio.backend.vfio.bind.ledger import Ledger, Record
from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.bind.result import BindResult, Change
from pymmio.backend.vfio.bind.steps import (
    LoadModule,
    Step,
    override_of,
    probe,
    set_override,
    unbind_from_driver,
)
from pymmio.backend.vfio.bind.vfio_users import refuse_vfio_users
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.errors import PymmioError, Unsupported
from pymmio.pci.address import PciAddress
from pymmio.policy import authorise
from pymmio.uri import DeviceUri

__all__ = ["VFIO_PCI", "bind", "signals_held", "to_address"]

VFIO_PCI = "vfio-pci"
_DRIVER = f"/sys/bus/pci/drivers/{VFIO_PCI}"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class _Target:
    function: PciFunction
    steps: tuple[Step, ...]


def bind(
    address: PciAddress | str,
    *,
    group: bool = False,
    force: bool = False,
    dry_run: bool = False,
    machine: Machine | None = None,
) -> BindResult:
    """Give a PCI function to vfio-pci, and remember on disk which driver it had.

    Nothing is changed if anything uses the device; the exception names what.  ``force``
    overrides an interface that is up, open device nodes, the boot display and other members of
    the IOMMU group; mounted file systems, swap and the like it does not.  ``group`` binds all
    members of the group that are in the way.  ``dry_run`` returns the steps and does nothing.
    Binding what a VFIO driver already has changes nothing.

    A step that fails undoes those before it.  Takes root.  Raises DeviceNotFound, DeviceBusy,
    PermissionRefused and Unsupported.
    """
    machine = Machine() if machine is None else machine
    address = to_address(address)
    function = PciFunction.look_up(machine, address)
    members = _candidates(machine, function, group)
    for member in members:
        authorise(DeviceUri("vfio", str(member)))
    if dry_run or (function.is_bound_to_vfio and not group):
        targets, remarks = _plan(machine, members, group=group, force=force, claims=False)
        return _result(function, targets, remarks, dry_run=dry_run)
    checks.refuse_without_rights(machine, function, "bind")
    ledger = Ledger(machine)
    with ledger.locked(members):
        targets, remarks = _plan(machine, members, group=group, force=force, claims=True)
        with signals_held():
            _carry_out(machine, ledger, targets)
        function = PciFunction.look_up(machine, address)  # somebody else may have bound it
    return _result(function, targets, remarks, dry_run=False)


def to_address(address: PciAddress | str) -> PciAddress:
    """Return an address from its text, also from a ``vfio:`` URI.  Raises UriError."""
    if isinstance(address, PciAddress):
        return address
    if address.startswith("vfio:"):
        return PciAddress.parse(DeviceUri.parse(address).target)
    return PciAddress.parse(address)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let Ctrl-C and requests to end wait until a change is whole or undone.

    The mask is that of this thread: another thread would take the signal, and Python lets the
    main thread handle it at once.  So in the main thread the handlers wait, too.
    """
    arrived: list[int] = []
    handlers = {}
    former = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    handlers[number] = signal.signal(number, lambda n, frame: arrived.append(n))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        for late in dict.fromkeys(arrived):
            signal.raise_signal(late)


def _candidates(machine: Machine, function: PciFunction, group: bool) -> tuple[PciAddress, ...]:
    """Return the devices that may be changed: this one, with ``group`` those in its group."""
    if not group or function.iommu_group is None:
        return (function.address,)
    blocking = checks.blocking_members(machine, function)
    return (function.address, *(PciAddress.parse(member.address) for member in blocking))


def _plan(
    machine: Machine,
    addresses: Sequence[PciAddress],
    *,
    group: bool,
    force: bool,
    claims: bool,
) -> tuple[tuple[_Target, ...], tuple[str, ...]]:
    """Look at everything and return what is to be done and what to say.  Changes nothing.

    The first of ``addresses`` is the device that was asked for.
    """
    functions = [PciFunction.look_up(machine, one) for one in addresses]
    function = functions[0]
    blocking = checks.blocking_members(machine, function)
    remarks: list[str] = []
    if function.is_bound_to_vfio and not group and blocking:
        names = ", ".join(map(str, blocking))
        remarks.append(f"group {function.iommu_group} is not usable yet, in the way: {names}")
    elif not group and not force:
        checks.refuse_bridge(machine, function)
        checks.refuse_group(function, blocking)
    todo = [one for one in functions if not one.is_bound_to_vfio]
    for one in todo:
        checks.refuse_bridge(machine, one)
        checks.refuse_unconfined(machine, one)
    for one in todo:
        remarks += checks.refuse_used(machine, one, force=force, claims=claims)
    targets = tuple(_Target(one, tuple(_steps(machine, one, n))) for n, one in enumerate(todo))
    return targets, tuple(dict.fromkeys(remarks))


def _steps(machine: Machine, function: PciFunction, number: int) -> Iterator[Step]:
    if number == 0 and not machine.exists(_DRIVER):
        yield LoadModule(VFIO_PCI, "the driver that hands devices to programs")
    if override_of(machine, function.address) != VFIO_PCI:
        yield set_override(function.address, VFIO_PCI)
    if function.driver is not None:
        yield unbind_from_driver(function.address, function.driver)
    yield probe(function.address)


def _carry_out(machine: Machine, ledger: Ledger, targets: Sequence[_Target]) -> None:
    records: list[Record] = []
    try:
        for target in targets:
            record = _record(machine, ledger, target.function)
            ledger.keep(record)
            records.append(record)
            for step in target.steps:
                step.perform(machine)
            _check_bound(machine, target.function)
    except BaseException as error:
        for record in reversed(records):
            _undo(machine, ledger, record, error)
        raise


def _record(machine: Machine, ledger: Ledger, function: PciFunction) -> Record:
    """Say what a device is now, or was before a change that was interrupted."""
    try:
        earlier = ledger.find(function.address)
    except PymmioError:
        earlier = None  # damaged: what can be seen now is all there is
    driver, override = function.driver, override_of(machine, function.address)
    if earlier is not None and is_same_device(earlier, function) and driver is None:
        return earlier
    module = machine.link_name(f"/sys/bus/pci/drivers/{driver}/module") if driver else None
    if earlier is not None and override == VFIO_PCI:
        override = earlier.former_override  # that one was ours
    return Record(
        address=str(function.address),
        vendor_id=function.vendor_id,
        device_id=function.device_id,
        former_driver=driver,
        former_module=module,
        former_override=override,
        boot_id=ledger.boot_id,
    )


def _check_bound(machine: Machine, function: PciFunction) -> None:
    """Look who has the device: a probe that failed leaves no error in the write that asked."""
    driver = current_driver(machine, function.address)
    if driver == VFIO_PCI:
        return
    if not machine.exists(_DRIVER):
        raise Unsupported(
            "vfio-pci was loaded, but is no driver of the PCI bus",
            hint="The kernel's log (dmesg) may say why",
        )
    hint = "The kernel's log (dmesg) says why vfio-pci refused it"
    if function.iommu_group is None:
        hint = "It is in no IOMMU group; see whether /sys/kernel/iommu_groups has any"
    raise Unsupported(
        f"the kernel was asked to give {function.address} to vfio-pci, reported no error, and "
        f"yet it has {driver or 'no driver'}",
        hint=hint,
    )


def _undo(machine: Machine, ledger: Ledger, record: Record, error: BaseException) -> None:
    """Give a device back after ``error``, which learns what came of it."""
    address = PciAddress.parse(record.address)
    try:
        function = PciFunction.look_up(machine, address)
        if function.is_bound_to_vfio:
            refuse_vfio_users(machine, function)
        give_back(machine, record)
    except PymmioError as problem:
        error.add_note(f"undoing it failed too: {problem}")
    else:
        ledger.forget(address)
        error.add_note(f"{address} has {record.former_driver or 'no driver'} as before")


def _result(
    function: PciFunction,
    targets: Sequence[_Target],
    remarks: tuple[str, ...],
    *,
    dry_run: bool,
) -> BindResult:
    changes = [
        Change(target.function.address, target.function.driver, VFIO_PCI, target.steps)
        for target in targets
    ]
    if function.address not in {change.address for change in changes}:
        changes.insert(0, Change(function.address, function.driver, function.driver))
    return BindResult(function.address, function.iommu_group, tuple(changes), dry_run, remarks)
