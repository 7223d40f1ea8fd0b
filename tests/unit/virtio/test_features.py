"""Negotiation, as a function of what is offered."""

from __future__ import annotations

import pytest

from pymmio.errors import FeatureMissing
from pymmio.virtio import features as f
from pymmio.virtio.features import Feature, FeatureSet, negotiate

MODERN = FeatureSet(1 << 32)
EVERYTHING = FeatureSet((1 << 64) - 1)
BITS = [  # virtio 1.2 §6
    (f.INDIRECT_DESC, 28),
    (f.EVENT_IDX, 29),
    (f.VERSION_1, 32),
    (f.ACCESS_PLATFORM, 33),
    (f.RING_PACKED, 34),
    (f.IN_ORDER, 35),
    (f.ORDER_PLATFORM, 36),
    (f.SR_IOV, 37),
    (f.NOTIFICATION_DATA, 38),
    (f.RING_RESET, 40),
]


@pytest.mark.parametrize(("feature", "bit"), BITS)
def test_bits_are_those_of_the_specification(feature: Feature, bit: int) -> None:
    assert feature.bit == bit


def test_all_are_listed() -> None:
    assert {feature for feature, _ in BITS} == set(f.RESERVED_FEATURES)


def test_only_what_was_asked_for_is_taken() -> None:
    chosen = negotiate(EVERYTHING, name="d", wanted=[f.EVENT_IDX], is_translated=False)
    assert chosen.value == 1 << 32 | 1 << 29 | 1 << 33 | 1 << 36


def test_what_is_wanted_and_not_offered_is_left_out() -> None:
    assert negotiate(MODERN, name="d", wanted=[f.RING_PACKED], is_translated=False) == MODERN


def test_a_legacy_device_is_refused_by_its_name() -> None:
    with pytest.raises(FeatureMissing, match=r"disk does not offer VIRTIO_F_VERSION_1.*legacy"):
        negotiate(FeatureSet(0), name="disk", is_translated=False)


def test_translated_addresses_need_a_device_that_knows_it() -> None:
    with pytest.raises(FeatureMissing, match=r"VIRTIO_F_ACCESS_PLATFORM.*iommu_platform=on"):
        negotiate(MODERN, name="d", is_translated=True)


def test_each_missing_feature_is_named() -> None:
    mine = Feature(3, "VIRTIO_MINE_F_IT", "it=on")
    with pytest.raises(FeatureMissing, match=r"VIRTIO_MINE_F_IT.*ACCESS_PLATFORM.*it=on,iommu"):
        negotiate(MODERN, name="d", required=[mine], is_translated=True)


def test_a_set_shows_its_names() -> None:
    assert str(FeatureSet(1 << 32 | 1 << 5)) == "bit 5, VIRTIO_F_VERSION_1"
    assert list(FeatureSet(0b1010)) == [1, 3]
    assert FeatureSet(1).names([Feature(0, "MINE")]) == ["MINE"]
    assert str(FeatureSet(0)) == "none"
