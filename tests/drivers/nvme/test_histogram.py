"""Latencies in few buckets with round bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import BadArgument
from pymmio_drivers.nvme import Bucket, log_buckets

LATENCIES = st.lists(
    st.tuples(st.integers(1, 10**14), st.integers(0, 1 << 40)), max_size=60
)  # fmt: skip


def test_nothing_is_no_bucket():
    assert log_buckets([], 16) == ()
    assert log_buckets([(5, 0)], 16) == ()


def test_bounds_are_round_and_next_to_each_other():
    found = log_buckets([(10_500, 3), (13_000, 2), (19_999, 1)], 16)
    assert found == (
        Bucket(10_000, 12_500, 3),
        Bucket(12_500, 16_000, 2),
        Bucket(16_000, 20_000, 1),
    )


def test_a_value_on_a_bound_belongs_to_the_bucket_above():
    assert [one.count for one in log_buckets([(1000, 1), (1250, 1)], 16)] == [1, 1]


def test_a_wide_range_has_wider_buckets():
    found = log_buckets([(1_000, 1), (900_000_000, 1)], 16)
    assert 3 < len(found) <= 16
    assert found[0].high_ns / found[0].low_ns >= 2


def test_too_few_are_refused():
    with pytest.raises(BadArgument):
        log_buckets([(1, 1)], 15)


@given(LATENCIES, st.integers(16, 60))
def test_every_command_is_in_exactly_one_bucket(histogram, most):
    found = log_buckets(histogram, most)
    assert len(found) <= most
    assert sum(one.count for one in found) == sum(count for _, count in histogram)
    for one, following in itertools.pairwise(found):
        assert one.low_ns < one.high_ns == following.low_ns
    if found:
        assert found[0].count > 0
        assert found[-1].count > 0
