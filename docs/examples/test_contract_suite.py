"""The contract of backends, asked of a device with pytest."""

import pytest

from pymmio.testing import contract


@pytest.mark.parametrize("check", contract.checks("edu"), ids=str)
def test_contract(check: contract.Check) -> None:
    check.run(contract.Subject("sim:edu"))
