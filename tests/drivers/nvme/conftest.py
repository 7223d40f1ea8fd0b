"""Controllers for the NVMe tests."""

from __future__ import annotations

import pytest

from pymmio_drivers.nvme import Controller

MODES = ("msix", "msi", "intx", None)


@pytest.fixture
def ctrl(nvme_uri):
    """A controller that is driven as users do it: by the best interrupts that it has."""
    with Controller.open(nvme_uri) as found:
        yield found


@pytest.fixture
def ns(ctrl):
    """Its namespace 1."""
    return ctrl.namespaces[1]


@pytest.fixture(params=["msix", None], ids=["interrupts", "polling"])
def sim(request):
    """A model whose commands time out soon; hooks in ``model_of(sim).hooks``."""
    with Controller.open(
        "sim:nvme?size=16M",
        interrupts=request.param,
        timeout_s=0.2,
        admin_timeout_s=0.5,
        abort_grace_s=0.2,
        ready_timeout_s=0.3,
    ) as found:
        yield found


def model_of(ctrl):
    """The model behind a sim: controller."""
    return ctrl.device.handle.model
