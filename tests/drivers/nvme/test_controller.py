"""Open, identify, options, close."""

from __future__ import annotations

import os
import threading

import pytest

from pymmio import open_device
from pymmio.errors import BadArgument, Closed, DeviceTimeout, ForkedObject, Unsupported
from pymmio.handle import IrqKind
from pymmio_drivers.nvme import (
    MATCH,
    CommandAborted,
    Controller,
    ControllerClosed,
    FeatureId,
    InvalidField,
    InvalidOpcode,
    State,
    StatusError,
)
from pymmio_drivers.nvme import controller as controller_module
from pymmio_drivers.nvme import lifecycle as lifecycle_module
from pymmio_drivers.nvme.registers import CC, CSTS
from tests.drivers.nvme.conftest import MODES, model_of


def test_match_is_the_class_code_of_nvme_io_controllers():
    assert [match.class_code for match in MATCH] == [0x010802]


def test_opened_controller_is_ready_and_identified(ctrl):
    assert ctrl.state is State.READY
    assert ctrl.registers.csts.read().rdy == 1
    assert ctrl.identity.vid == ctrl.device.config.vendor_id
    assert ctrl.identity.nn >= 1
    assert 1 in ctrl.namespaces
    assert len(ctrl.version.split(".")) == 3
    assert ctrl.max_transfer >= 4096
    assert ctrl.identity.sn


def test_configuration_is_what_the_specification_asks_for(ctrl):
    cc = ctrl.registers.cc.read()
    assert (cc.en, cc.css, cc.ams, cc.shn, cc.iosqes, cc.iocqes) == (1, 0, 0, 0, 6, 4)
    assert ctrl.page_size == 4096 << cc.mps
    assert ctrl.registers.aqa.read().asqs == 31


@pytest.mark.parametrize("mode", MODES)
def test_data_goes_both_ways_by_every_kind_of_interrupt(mode, nvme_uri):
    with open_device(nvme_uri) as device:
        is_there = mode is None or len(device.irqs.of_kind(IrqKind(mode)))
    if not is_there:  # QEMU's controller has no MSI
        with pytest.raises(Unsupported, match=f"has no {mode} interrupts"):
            Controller.open(nvme_uri, interrupts=mode)
        return
    with Controller.open(nvme_uri, interrupts=mode) as ctrl:
        assert ctrl.interrupts == (mode or "polling")
        ns = ctrl.namespaces[1]
        data = os.urandom(64 * 1024)
        ns.write_bytes(data, lba=3)
        assert ns.read_bytes(lba=3, blocks=128) == data
        assert ctrl.admin.smart_log().composite_temperature > 0
        ctrl.reset()
        assert ns.read_bytes(lba=3, blocks=128) == data


def test_auto_takes_the_best_kind_there_is():
    with Controller.open("sim:nvme?size=16M") as ctrl:
        assert ctrl.interrupts == "msix"


def test_missing_kind_of_interrupt_is_refused_with_what_there_is():
    with pytest.raises(Unsupported, match="no msi interrupts") as caught:
        Controller.open("sim:nvme?size=16M&msi=0", interrupts="msi")
    assert "msix" in str(caught.value)


def test_fewer_vectors_than_queues_are_shared():
    with Controller.open("sim:nvme?size=16M&msix_qsize=2", queues=3) as ctrl:
        ns = ctrl.namespaces[1]
        threads = [
            threading.Thread(target=ns.write_bytes, args=(bytes(512),), kwargs={"lba": i})
            for i in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()


def test_threads_are_spread_over_the_queues(nvme_uri):
    with Controller.open(nvme_uri, queues=3) as ctrl:
        seen = []
        for _ in range(3):
            thread = threading.Thread(target=lambda: seen.append(ctrl.thread_queue().qid))
            thread.start()
            thread.join()
        assert sorted(seen) == [1, 2, 3]


def test_more_queues_than_granted_are_refused():
    with pytest.raises(Unsupported, match="grants 2"):
        Controller.open("sim:nvme?size=16M&max_ioqpairs=2", queues=3)


@pytest.mark.parametrize("depth", [1, 17, 65536])
def test_depth_beyond_mqes_is_refused(depth):
    with pytest.raises(Unsupported, match="2 to 16 entries"):
        Controller.open("sim:nvme?size=16M&mqes=15", depth=depth)


def test_default_depth_obeys_mqes():
    with Controller.open("sim:nvme?size=16M&mqes=7") as ctrl:
        assert ctrl.io_queues[0].depth == 8


@pytest.mark.parametrize("options", ["dstrd=2", "version=2.0", "mpsmax=0", "ready_reads=3"])
def test_other_capabilities_are_obeyed(options):
    with Controller.open(f"sim:nvme?size=16M&{options}", queues=2) as ctrl:
        ctrl.namespaces[1].write_bytes(b"x" * 512, lba=0)
        assert ctrl.namespaces[1].read_bytes(lba=0, blocks=1) == b"x" * 512
        assert not model_of(ctrl).notes


def test_the_model_notes_nothing_wrong_in_a_whole_life(sim):
    model = model_of(sim)
    ns = sim.namespaces[1]
    ns.write_bytes(bytes(4096), lba=0)
    ns.flush()
    sim.reset()
    ns.read_bytes(lba=0, blocks=8)
    sim.close()
    assert not model.notes


# --- admin -------------------------------------------------------------------------------


def test_features_can_be_read_and_set(ctrl):
    feature = FeatureId.VOLATILE_WRITE_CACHE  # QEMU's arbitration cannot be changed
    before = ctrl.admin.get_features(feature).result
    ctrl.admin.set_features(feature, before ^ 1)
    assert ctrl.admin.get_features(feature).result == before ^ 1
    ctrl.admin.set_features(feature, before)


def test_any_admin_command_can_be_sent_as_it_is(ctrl):
    result = ctrl.admin(0x06, cdw10=1, receive=4096)
    assert result.data[0:2] == ctrl.identity.vid.to_bytes(2, "little")
    with pytest.raises(InvalidOpcode):
        ctrl.admin(0x7F)
    with pytest.raises(InvalidField):
        ctrl.admin.identify(0xEE)


def test_data_of_an_admin_command_is_bounded_and_in_one_direction(ctrl):
    with pytest.raises(BadArgument):
        ctrl.admin(0x06, receive=1 << 24)
    with pytest.raises(BadArgument):
        ctrl.admin(0x06, receive=16, send=b"x")
    with pytest.raises(BadArgument):
        ctrl.admin.get_log_page(2, 6)


def test_errors_are_found_in_the_error_log(sim):  # QEMU keeps none
    with pytest.raises(StatusError) as caught:
        sim.admin(0x7F)
    assert caught.value.status & 0x7FF == 1
    entry = sim.admin.error_log()[0]
    assert (entry.sqid, entry.status & 0x7FF) == (0, 1)


def test_active_namespaces_of_a_long_list():
    with Controller.open("sim:nvme?size=1M&ns=1024&nn=1024") as ctrl:
        assert list(ctrl.namespaces) == list(range(1, 1025))
        assert ctrl.namespaces[1024].block_count == 2048


def test_namespace_ids_and_firmware_slots_are_decoded(ctrl):
    assert isinstance(ctrl.namespaces[1].ids, tuple)
    assert ctrl.admin.firmware_log().active_slot >= 0


def test_events_are_reported_and_asked_for_again(nvme_uri):
    seen = threading.Semaphore(0)
    events = []

    def note(event):
        events.append(event)
        seen.release()

    with Controller.open(nvme_uri, on_event=note) as ctrl:
        kelvin = ctrl.admin.smart_log().composite_temperature
        for _ in range(2):
            ctrl.admin.set_features(FeatureId.ASYNC_EVENT_CONFIGURATION, 0xFF)
            ctrl.admin.set_features(FeatureId.TEMPERATURE_THRESHOLD, kelvin - 10)
            assert seen.acquire(timeout=20)
            assert (events[-1].name, events[-1].log_page) == ("health", 2)
            ctrl.admin.set_features(FeatureId.TEMPERATURE_THRESHOLD, kelvin + 50)
            ctrl.admin.smart_log()
            ctrl.reset()


# --- close -------------------------------------------------------------------------------


def test_close_shuts_the_controller_down_and_disables_it():
    with open_device("sim:nvme?size=16M") as device:
        shutdowns = []
        before = device.handle.model.bar_write

        def spy(bar, offset, width, value):
            if offset == 0x14:
                shutdowns.append(CC(value).shn)
            before(bar, offset, width, value)

        device.handle.model.bar_write = spy
        ctrl = Controller.open(device)
        ctrl.close()
        assert 1 in shutdowns
        assert CSTS(device.region(0).read32(0x1C)).rdy == 0
        assert CC(device.region(0).read32(0x14)).en == 0
        assert not device.config.command & 4
        assert device.dma.mapped_bytes == 0


def test_closing_twice_is_fine_and_every_use_after_close_raises(nvme_uri):
    ctrl = Controller.open(nvme_uri)
    ns, buffer = ctrl.namespaces[1], ctrl.alloc(4096)
    ctrl.close()
    ctrl.close()
    assert ctrl.closed
    for use in (
        lambda: ns.flush(),
        lambda: ns.read_bytes(lba=0, blocks=1),
        lambda: ns.read(buffer, lba=0),
        lambda: ctrl.admin.smart_log(),
        lambda: ctrl.alloc(4096),
        lambda: ctrl.reset(),
        lambda: ctrl.poll(),
        lambda: ns.measure(count=1),
    ):
        with pytest.raises(Closed):
            use()


def test_close_while_another_thread_waits_ends_the_wait(sim):
    model_of(sim).hooks.hold(lambda qid, command: qid == 1)
    ns = sim.namespaces[1]
    results = []

    def waits():
        try:
            ns.read_bytes(lba=0, blocks=1)
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=waits)
    thread.start()
    while not model_of(sim).hooks.held:
        assert thread.is_alive()
    sim.close()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(results[0], (ControllerClosed, CommandAborted, DeviceTimeout))


def test_shutdown_that_does_not_complete_ends_in_a_disabled_controller(monkeypatch):
    monkeypatch.setattr(lifecycle_module, "SHUTDOWN_DEFAULT_S", 0.1)
    with open_device("sim:nvme?size=16M") as device:
        ctrl = Controller.open(device)
        model_of(ctrl).hooks.stuck_shutdown = True
        monkeypatch.setattr(type(ctrl.identity), "rtd3e", 0, raising=False)
        ctrl.close()
        assert CC(device.region(0).read32(0x14)).en == 0
        assert device.dma.mapped_bytes == 0


def test_borrowed_device_stays_open_and_can_be_used_again(nvme_uri):
    with open_device(nvme_uri) as device:
        for _ in range(3):
            with Controller.open(device) as ctrl:
                ctrl.namespaces[1].write_bytes(bytes(512), lba=0)
        assert not device.closed


def test_controller_that_somebody_left_enabled_is_taken_over(monkeypatch, nvme_uri):
    monkeypatch.setattr(controller_module, "_DELETE_S", 0.1)
    with open_device(nvme_uri) as device:
        first = Controller.open(device)
        first.namespaces[1].write_bytes(b"left".ljust(512), lba=0)
        second = Controller.open(device, interrupts=None)  # as after a process was killed
        assert second.namespaces[1].read_bytes(lba=0, blocks=1)[:4] == b"left"
        second.close()
        first.close()


def test_another_kind_of_device_is_refused(edu_uri):
    with pytest.raises(Unsupported, match="class code"):
        Controller.open(edu_uri)


def test_forked_child_can_do_nothing_and_harms_nothing(ctrl):
    ns = ctrl.namespaces[1]
    ns.write_bytes(b"parent".ljust(512), lba=0)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            uses = (
                lambda: ns.read_bytes(lba=0, blocks=1),
                ns.flush,
                ctrl.admin.smart_log,
                ctrl.reset,
                lambda: ctrl.alloc(4096),
            )
            raised = 0
            for use in uses:
                try:
                    use()
                except ForkedObject:
                    raised += 1
            ctrl.close()
            code = 0 if raised == len(uses) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ns.read_bytes(lba=0, blocks=1)[:6] == b"parent"
