"""Open devices in which things go wrong."""

from __future__ import annotations

from contextlib import ExitStack

from pymmio.backend import open_handle
from pymmio.backend.model import DeviceModel
from pymmio.backend.sim import SimHandle
from pymmio.device import Device
from pymmio.dma import DmaSpace
from pymmio.errors import Unsupported
from pymmio.handle import Access, DeviceHandle, IrqKind
from pymmio.policy import authorise
from pymmio.testing.faults.handles import FaultyDevice
from pymmio.testing.faults.injector import FaultPlan, Injector
from pymmio.testing.faults.later import Later
from pymmio.testing.faults.models import hook_model
from pymmio.trace import Sink
from pymmio.uri import DeviceUri

__all__ = ["faults_of", "faulty_model", "open_device", "open_model", "wrap"]


def wrap(
    handle: DeviceHandle, plan: FaultPlan | None = None, *, armed: bool = True
) -> FaultyDevice:
    """Return a handle in front of ``handle`` in which things go wrong as planned.

    Closing it closes ``handle``.  Raises Unsupported for faults in what a device does to memory
    where the device is no model in this process.
    """
    plan = plan or FaultPlan()
    model = getattr(handle, "model", None)
    device = FaultyDevice(handle, Injector(plan, armed=armed))
    if isinstance(model, DeviceModel):
        device.on_close = hook_model(model, device.faults, device.later)
    else:
        _require_no_model(handle.name, plan)
    return device


def open_device(
    uri: str | DeviceUri,
    plan: FaultPlan | None = None,
    *,
    access: str | Access = Access.AUTO,
    trace: Sink | None = None,
    share_dma_with: Device | None = None,
    armed: bool = True,
) -> Device:
    """Open a device of any backend as :func:`pymmio.open_device` does, and have it fail.

    ``device.handle.faults`` is the :class:`Injector`.  With ``armed=False`` nothing goes wrong
    until its ``on()``, so that opening succeeds.  ``access`` can be "auto" and "message": every
    access passes through Python.  Of memory that is shared (``share_dma_with``) only the first
    device's mappings go wrong.  Raises what :func:`pymmio.open_device` raises.
    """
    parsed = DeviceUri.parse(uri) if isinstance(uri, str) else uri
    try:
        way = Access(access)
    except ValueError:
        raise Unsupported(
            f"access={access!r} is no way of access", hint=f"Choose from {', '.join(Access)}"
        ) from None
    authorise(parsed)
    peer, shared = None, None
    if share_dma_with is not None:
        peer, shared = share_dma_with.handle, share_dma_with.dma
        peer = peer.inner if isinstance(peer, FaultyDevice) else peer
    with ExitStack() as undo:
        handle = open_handle(parsed, share_dma_with=peer)
        undo.callback(handle.close)
        device = _device(parsed, handle, plan, way, trace, armed, shared)
        undo.pop_all()
    return device


def open_model(
    model: DeviceModel,
    plan: FaultPlan | None = None,
    *,
    trace: Sink | None = None,
    armed: bool = True,
) -> Device:
    """Open a model that was made by the caller as :func:`pymmio.testing.open_model` does."""
    name = type(model).__name__.lower()
    with ExitStack() as undo:
        handle = SimHandle(model, name=f"sim:{name}")
        undo.callback(handle.close)
        device = _device(DeviceUri("sim", name), handle, plan, Access.AUTO, trace, armed)
        undo.pop_all()
    return device


def _device(
    uri: DeviceUri,
    handle: DeviceHandle,
    plan: FaultPlan | None,
    access: Access,
    trace: Sink | None,
    armed: bool,
    shared_dma: DmaSpace | None = None,
) -> Device:
    faulty = wrap(handle, plan, armed=armed)
    try:
        return Device(uri, faulty, access=access, trace=trace, shared_dma=shared_dma)
    except BaseException:
        faulty.on_close()
        faulty.later.close()
        raise


def faults_of(device: Device) -> Injector:
    """Return the injector of a device that was opened here.  Raises Unsupported otherwise."""
    if not isinstance(device.handle, FaultyDevice):
        raise Unsupported(
            f"{device.name} was not opened with faults",
            hint="Open it with pymmio.testing.faults.open_device()",
        )
    return device.handle.faults


def faulty_model(model: DeviceModel, plan: FaultPlan, *, armed: bool = True) -> Injector:
    """Have a model's transfers go wrong, whoever will serve it; returns the injector.

    For servers: hand them ``model`` afterwards.  Faults of registers, interrupts and mappings
    are not the model's: they stay with the client, which opens the device with faults too.
    """
    others = [fault for fault in plan.faults if not fault.needs_model]
    if others:
        raise Unsupported(
            f"a model cannot do {others[0]!r}",
            hint="Open the device that is served with pymmio.testing.faults.open_device()",
        )
    injector = Injector(plan, armed=armed)
    later = Later(type(model).__name__, _no_interrupts)
    injector.on_release(later.release)
    hook_model(model, injector, later)
    close = model.close

    def closed() -> None:
        later.close()
        close()

    model.close = closed  # type: ignore[method-assign]
    return injector


def _no_interrupts(kind: IrqKind, vector: int, deliver: object) -> None:
    return


def _require_no_model(name: str, plan: FaultPlan) -> None:
    for fault in plan.faults:
        if fault.needs_model:
            raise Unsupported(
                f"{name} does not tell what it does to memory: {fault!r} cannot be injected",
                hint="Take a device model in this process (sim:), or have the model fail where "
                "it is served: pymmio.testing.faults.faulty_model()",
            )
