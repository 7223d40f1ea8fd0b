"""Devices for the driver tests: in this process, or what the environment names.

``PYMMIO_TEST_EDU`` and ``PYMMIO_TEST_NVME`` take any device URI; what the tests write there is
lost.  Tests that need the model itself (hooks, options) always use ``sim:``.
"""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def edu_uri() -> str:
    """The edu device that tests drive."""
    return os.environ.get("PYMMIO_TEST_EDU", "sim:edu")


@pytest.fixture
def nvme_uri() -> str:
    """The NVMe controller that tests drive; nsid 1 is overwritten."""
    return os.environ.get("PYMMIO_TEST_NVME", "sim:nvme?size=64M")
