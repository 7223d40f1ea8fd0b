"""Start and stop against a fake register block: order of writes, time-outs, odd states."""

from __future__ import annotations

import mmap

import pytest

from pymmio.errors import DeviceGone, DeviceTimeout, Unsupported
from pymmio.mmio import PCI
from pymmio_drivers.nvme import ControllerFatal
from pymmio_drivers.nvme import lifecycle as module
from pymmio_drivers.nvme.lifecycle import Lifecycle
from pymmio_drivers.nvme.registers import Registers

MQES, TO, CSS_NVM, MPSMAX = 0xFF, 4 << 24, 1 << 37, 4 << 52
CAP = MQES | TO | CSS_NVM | MPSMAX
CRWMS = 1 << 59


class FakeRegisters:
    """Registers with the behaviour of a controller: RDY follows EN after ``delay`` reads."""

    name, size, rule = "fake", 0x1000, PCI

    def __init__(self, cap=CAP, crto=0, cc=0, csts=0, delay=0):
        self.values = {0x00: cap, 0x08: 0x10400, 0x14: cc, 0x1C: csts, 0x68: crto}
        self.delay, self.left = delay, 0
        self.log = []
        self.follows = True

    def read32(self, offset):
        if offset == 0x1C and self.follows:
            if self.left:
                self.left -= 1
            else:
                enabled = self.values[0x14] & 1
                shutdown = 8 if self.values[0x14] >> 14 & 3 else 0
                self.values[0x1C] = self.values[0x1C] & ~0xD | enabled | shutdown
        return self.values.get(offset, 0)

    def read64(self, offset, order=None):
        return self.values.get(offset, 0)

    def write32(self, offset, value):
        self.log.append((offset, value))
        if offset == 0x14 and (value ^ self.values[0x14]) & 1:
            self.left = self.delay
        self.values[offset] = value

    def write64(self, offset, value, order=None):
        self.log.append((offset, value))
        self.values[offset] = value

    def wait32(self, offset, *, mask, value, timeout_s):
        for _ in range(10 if timeout_s < 1 else 1000):
            seen = self.read32(offset)
            if seen & mask == value:
                return seen
        raise DeviceTimeout("fake", last=seen)


def lifecycle(**state):
    fake = FakeRegisters(**state)
    return fake, Lifecycle(Registers(fake), ready_timeout_s=0.001)


def time_out_of(cap, crto=0):
    return Lifecycle(Registers(FakeRegisters(cap=cap, crto=crto))).ready_timeout_s


# --- what the controller says about itself --------------------------------------------------


def test_time_out_is_cap_to_in_500_ms():
    assert time_out_of(CAP) == 2.0
    assert time_out_of(CAP & ~(0xFF << 24)) == 0.5  # 0 still means that it takes a moment
    assert time_out_of(CAP | 0xFF << 24) == 127.5


def test_time_out_is_crwmt_where_that_is_longer():
    assert time_out_of(CAP | CRWMS, crto=0x0064) == 50.0
    assert time_out_of(CAP | CRWMS, crto=0x0002) == 2.0
    assert time_out_of(CAP | CRWMS | 0xFF << 24, crto=0xFFFF_0200) == 256.0


def test_nobody_waits_for_hours_because_a_controller_says_so():
    assert time_out_of(CAP | CRWMS | 0xFF << 24, crto=0xFFFF_FFFF) == 600.0


def test_crto_counts_only_where_cap_says_that_it_exists():
    assert time_out_of(CAP, crto=0x0064) == 2.0


@pytest.mark.parametrize(("mpsmin", "mpsmax"), [(0, 0), (0, 4), (1, 4), (4, 8), (0, 15)])
def test_memory_page_is_the_host_s_within_what_the_controller_can(mpsmin, mpsmax):
    cap = CAP & ~(0xFF << 48) | mpsmin << 48 | mpsmax << 52
    _, life = lifecycle(cap=cap)
    assert life.page_size == max(4096 << mpsmin, min(mmap.PAGESIZE, 4096 << mpsmax))


@pytest.mark.parametrize(("css", "chosen"), [(0x01, 0), (0x41, 0), (0x40, 6), (0xC1, 0)])
def test_command_set(css, chosen):
    fake, life = lifecycle(cap=CAP & ~CSS_NVM | css << 37)
    life.enable(depth=32, asq_iova=0x1000, acq_iova=0x2000)
    assert fake.values[0x14] >> 4 & 7 == chosen


def test_administrative_controller_is_refused():
    with pytest.raises(Unsupported, match="no I/O command set"):
        lifecycle(cap=CAP & ~CSS_NVM | 0x80 << 37)


# --- start ----------------------------------------------------------------------------------


def test_queues_are_set_before_the_controller_is_enabled():
    fake, life = lifecycle(delay=3)
    life.enable(depth=32, asq_iova=0x1_0000_1000, acq_iova=0x2000)
    mps = (mmap.PAGESIZE.bit_length() - 13) << 7
    assert fake.log == [
        (0x24, 0x001F_001F),
        (0x28, 0x1_0000_1000),
        (0x30, 0x2000),
        (0x14, 0x0046_0000 | mps),
        (0x14, 0x0046_0001 | mps),
    ]


def test_start_that_fails_says_so_at_once():
    fake, life = lifecycle()
    fake.follows, fake.values[0x1C] = False, 2
    with pytest.raises(ControllerFatal):
        life.enable(depth=32, asq_iova=0, acq_iova=0)


def test_start_that_takes_too_long_reports_what_was_seen():
    fake, life = lifecycle()
    fake.follows, fake.values[0x1C] = False, 0x20
    with pytest.raises(DeviceTimeout, match="did not become ready") as caught:
        life.enable(depth=32, asq_iova=0, acq_iova=0)
    assert caught.value.last == 0x20


@pytest.mark.parametrize("offset", [0x00, 0x08])
def test_all_ones_are_a_device_that_is_gone(offset):
    fake = FakeRegisters()
    fake.values[offset] = (1 << 64) - 1 if offset == 0 else 0xFFFF_FFFF
    with pytest.raises(DeviceGone):
        Lifecycle(Registers(fake))


def test_all_ones_while_waiting():
    fake, life = lifecycle()
    fake.follows, fake.values[0x1C] = False, 0xFFFF_FFFF
    for step in (
        life.status,
        life.disable,
        lambda: life.enable(depth=32, asq_iova=0, acq_iova=0),
    ):
        with pytest.raises(DeviceGone):
            step()


# --- stop -----------------------------------------------------------------------------------


def test_disabled_controller_is_not_written_to():
    fake, life = lifecycle(cc=0, csts=0)
    life.disable()
    assert fake.log == []


def test_disable_keeps_the_rest_of_cc_and_waits():
    fake, life = lifecycle(cc=0x0046_0001, csts=1, delay=3)
    life.disable()
    assert fake.log == [(0x14, 0x0046_0000)]
    assert fake.values[0x1C] & 1 == 0


def test_disable_also_ends_a_shutdown():
    fake, life = lifecycle(cc=0x0046_4001, csts=9)
    life.disable()
    assert fake.log == [(0x14, 0x0046_0000)]


def test_disable_waits_for_a_start_under_way():
    fake, life = lifecycle(cc=0x0046_0001, csts=0)
    fake.left = 3
    seen = []
    fake.write32_before = fake.write32

    def write32(offset, value):
        seen.append(fake.values[0x1C] & 1)
        fake.write32_before(offset, value)

    fake.write32 = write32
    life = Lifecycle(Registers(fake), ready_timeout_s=0.001)
    life.disable()
    assert seen == [1]  # ready before it was disabled (§3.1.3.5)


@pytest.mark.parametrize("csts", [0, 2])
def test_disable_goes_on_where_a_start_never_ends(csts):
    fake, life = lifecycle(cc=0x0046_0001, csts=csts)
    fake.follows = False
    life.disable()
    assert fake.log == [(0x14, 0x0046_0000)]


def test_disable_that_does_not_follow_is_a_time_out():
    fake, life = lifecycle(cc=0x0046_0001, csts=1)
    fake.follows = False
    with pytest.raises(DeviceTimeout, match="rdy=0"):
        life.disable()


def test_shutdown_is_normal_and_waited_for(monkeypatch):
    fake, life = lifecycle(cc=0x0046_0001, csts=1)
    life.shutdown(rtd3e_us=0)
    assert fake.log == [(0x14, 0x0046_4001)]
    monkeypatch.setattr(module, "SHUTDOWN_DEFAULT_S", 0.01)
    fake, life = lifecycle(cc=0x0046_0001, csts=1)
    fake.follows = False
    with pytest.raises(DeviceTimeout, match="shst=COMPLETE"):
        life.shutdown(rtd3e_us=0)


@pytest.mark.parametrize(
    ("rtd3e_us", "waited"),
    [(0, 5.0), (1000, 1.0), (7_500_000, 7.5), (0xFFFF_FFFF, 60.0)],
)
def test_time_of_a_shutdown_is_what_the_controller_says(monkeypatch, rtd3e_us, waited):
    _, life = lifecycle(cc=0x0046_0001, csts=1)
    seen = []

    def wait_until(register, *, timeout_s, **fields):
        seen.append((timeout_s, fields))

    monkeypatch.setattr(type(life.regs.csts), "wait_until", wait_until)
    life.shutdown(rtd3e_us=rtd3e_us)
    assert seen == [(waited, {"shst": 2})]
