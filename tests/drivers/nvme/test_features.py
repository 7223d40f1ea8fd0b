"""Features by name: bits pinned to NVMe Base 2.0 §5.27.1 and NVM Command Set 1.0 §4.1.3."""

from __future__ import annotations

import pytest

from pymmio_drivers.nvme import (
    Controller,
    Feature,
    FeatureId,
    InvalidField,
    StatusError,
    read_feature,
    read_features,
    set_feature,
)
from pymmio_drivers.nvme.features import FEATURE_VALUES


@pytest.fixture
def sim():
    with Controller.open("sim:nvme?size=1M&ns=2") as ctrl:
        yield ctrl


@pytest.mark.parametrize(
    ("fid", "value", "fields"),
    [
        (0x01, 0x0403_0207, {"ab": 7, "lpw": 2, "mpw": 3, "hpw": 4}),
        (0x02, 0x0000_0023, {"ps": 3, "wh": 1}),
        (0x04, 0x0013_0157, {"tmpth": 0x157, "tmpsel": 3, "thsel": 1}),
        (0x05, 0x0001_0064, {"tler": 100, "dulbe": 1}),
        (0x06, 1, {"wce": 1}),
        (0x07, 0x0007_0003, {"nsq": 3, "ncq": 7}),
        (0x08, 0x0000_0A05, {"thr": 5, "time": 10}),
        (0x09, 0x0001_0002, {"iv": 2, "cd": 1}),
        (0x0A, 1, {"dn": 1}),
        (0x0B, 0x0000_0502, {"smart": 2, "nan": 1, "fan": 0, "tln": 1, "anacn": 0}),
        (0x0E, 1 << 49 | 1234, {"timestamp": 1234, "synch": 0, "origin": 1}),
    ],
)
def test_bits_of_each_feature(fid, value, fields):
    assert Feature(fid, value).as_dict()["fields"] == fields


def test_every_feature_that_has_a_name_has_fields():
    assert set(FEATURE_VALUES) == set(FeatureId)


def test_an_unknown_feature_is_its_number():
    one = Feature(0xC7, 5)
    assert (one.name, one.decoded, one.as_dict()["fields"]) == ("feature 0xc7", None, {})


def test_all_features_of_the_model(sim):
    found = {one.fid: one for one in read_features(sim.admin)}
    assert set(found) == set(FeatureId)
    assert not any(one.error for one in found.values())
    assert found[FeatureId.TEMPERATURE_THRESHOLD].value == 0x157
    recovery = found[FeatureId.ERROR_RECOVERY]
    assert (recovery.saveable, recovery.per_namespace, recovery.changeable) == (False, True, True)


def test_a_refused_feature_does_not_hide_the_others(sim):
    sim.device.handle.model.hooks.fail(0x02, lambda qid, one: one.opcode == 0x0A, count=1)
    first, *others = read_features(sim.admin)
    assert (first.value, first.error, first.decoded) == (None, "Invalid Field in Command", None)
    assert all(one.value is not None for one in others)


def test_what_may_be_done_is_left_open_where_the_controller_does_not_tell(sim):
    hooks = sim.device.handle.model.hooks
    hooks.fail(0x02, lambda qid, one: one.cdw10 >> 8 & 7 == 3, count=1)
    one = read_feature(sim.admin, FeatureId.ARBITRATION)
    assert (one.value, one.changeable) == (7, None)


def test_set_returns_what_it_reads_afterwards(sim):
    assert set_feature(sim.admin, 0x06, 0).value == 0
    assert read_feature(sim.admin, 0x06).value == 0


def test_a_feature_of_a_namespace_is_set_there_only(sim):
    assert set_feature(sim.admin, 0x05, 7, nsid=2).value == 7
    assert [read_feature(sim.admin, 0x05, nsid=nsid).value for nsid in (1, 2)] == [0, 7]


def test_timestamp_goes_and_comes_as_data(sim):
    value = set_feature(sim.admin, 0x0E, 1_700_000_000_000).decoded
    assert value.origin == 1
    assert 1_700_000_000_000 <= value.timestamp < 1_700_000_100_000


def test_a_value_that_the_controller_refuses_raises(sim):
    with pytest.raises(InvalidField):
        set_feature(sim.admin, 0x02, 3)


def test_saving_what_cannot_be_saved_raises(sim):
    with pytest.raises(StatusError, match="Not Saveable"):
        set_feature(sim.admin, 0x06, 0, save=True)
