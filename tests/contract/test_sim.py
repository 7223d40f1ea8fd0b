"""The contract of backends, on devices in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.suite import SUITE


@pytest.mark.parametrize("check", SUITE, ids=lambda check: check.__name__)
def test_sim(check: Callable[[str], None]) -> None:
    check("sim:edu")
