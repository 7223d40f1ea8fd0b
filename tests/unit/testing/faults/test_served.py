"""Models that fail while a server has them: the client sees a device that goes wrong."""

from __future__ import annotations

import threading

import pytest

from pymmio import open_device
from pymmio.backend.vfio_user.server import serve
from pymmio.models.nvme import NvmeModel
from pymmio.testing import faults
from pymmio.testing.faults import Fault, FaultPlan, nvme
from pymmio_drivers.nvme import CommandTimeout, Controller, State, StatusError

QUICK = {"timeout_s": 0.3, "abort_grace_s": 0.2}


@pytest.fixture
def served(tmp_path):
    """A model in a server of this process, its injector and its URI."""
    model = NvmeModel(size="1M")
    injector = faults.faulty_model(model, FaultPlan())
    with serve(model, tmp_path / "nvme.sock"):
        yield injector, f"vfio-user:{tmp_path / 'nvme.sock'}"
    assert not [t for t in threading.enumerate() if t.name.startswith("pymmio faults")]


def alive(controller):
    namespace = controller.namespaces[1]
    namespace.write_bytes(b"alive".ljust(512), lba=0)
    return namespace.read_bytes(lba=0, blocks=1)[:5] == b"alive"


@pytest.mark.parametrize("interrupts", ["msix", None])
def test_completions_of_a_served_controller_get_lost_are_late_or_tell_of_failures(
    served, interrupts
):
    injector, uri = served
    with Controller.open(uri, interrupts=interrupts, **QUICK) as controller:
        namespace = controller.namespaces[1]
        injector.add(nvme.status_changed(0x281, 1))
        with pytest.raises(StatusError, match="Unrecovered Read Error"):
            namespace.read_bytes(lba=0, blocks=1)
        injector.add(nvme.completion_late(0.05, 1))
        namespace.flush()
        injector.add(nvme.completion_lost(1))
        with pytest.raises(CommandTimeout):
            namespace.flush()
        assert alive(controller)
        assert controller.state is State.READY
    assert [one.fault.what for one in injector.log] == [
        "dma_write_wrong",
        "dma_write_late",
        "dma_write_lost",
    ]


def test_client_and_server_fail_side_by_side(served):
    injector, uri = served
    injector.add(Fault.dma_write_wrong(when=nvme.Data(), count=1, after=3))
    plan = FaultPlan(Fault.irq_lost(after=3, count=2))
    with faults.open_device(uri, plan) as device:
        with Controller.open(device, **QUICK) as controller:
            assert [alive(controller) for _ in range(4)].count(True) >= 3
        assert len(device.handle.faults.log) == 2


def test_what_is_late_at_a_server_comes_when_it_is_let(served):
    injector, uri = served
    with Controller.open(uri, timeout_s=30.0) as controller:
        injector.add(nvme.completion_late(None, 1))
        request = controller.namespaces[1].flush_async()
        assert not request.done()
        while not injector.log:
            assert not request.done()
        while not injector.release():
            assert not request.done()
        assert request.exception(20) is None


def test_a_device_behind_a_server_does_not_tell_what_it_does_to_memory(served):
    _, uri = served
    with pytest.raises(faults.opening.Unsupported, match="faulty_model"):
        faults.open_device(uri, FaultPlan(nvme.completion_lost()))
    with open_device(uri) as device:
        assert device.config.ids.class_code == 0x010802
