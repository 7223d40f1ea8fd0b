"""A reset that the kernel does not come back from: its own boot, as the process lingers there."""

from __future__ import annotations

import pytest

from tests.guest import lingering
from tests.guest.guests import SLOTS
from tests.guest.plugin import GuestRunner

pytestmark = pytest.mark.guest


def test_a_reset_that_blocks_in_the_kernel_blocks_nobody(guest_run: GuestRunner) -> None:
    run = guest_run([lingering.reset_of_a_card_that_is_not_there], guest=SLOTS)
    run.check()
    print(*(result.output for result in run.results.values()))
