"""The contract of backends, on models that another process serves by vfio-user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from pymmio.testing import served
from pymmio.testing.contract import Ability, Check
from tests.contract.backends import VFIO_USER
from tests.contract.mortal import OPTIONS, mortal

CASES = [(device, check) for device in VFIO_USER.devices for check in VFIO_USER.checks(device)]


@pytest.fixture(scope="module")
def uris() -> Iterator[dict[str, str]]:
    """One server for each kind of device; what a check leaves there the next one finds."""
    with ExitStack() as stack:
        yield {
            device: stack.enter_context(served(device, **OPTIONS[device]))
            for device in VFIO_USER.devices
        }


# Tests of their own: see tests/bigendian.
IN_CHILDREN = {"a_child_may_open_the_device_itself", "a_device_whose_user_was_killed_can_be_taken"}


def _cases(*, in_children: bool) -> list[tuple[str, Check]]:
    return [
        (device, check)
        for device, check in CASES
        if Ability.REMOVAL not in check.needs and (check.name in IN_CHILDREN) == in_children
    ]


@pytest.mark.parametrize(("device", "check"), _cases(in_children=False), ids=str)
def test_vfio_user(device: str, check: Check, uris: dict[str, str]) -> None:
    check.run(VFIO_USER.subject(device, uris[device]))


@pytest.mark.parametrize(("device", "check"), _cases(in_children=True), ids=str)
def test_a_child_opens_the_device(device: str, check: Check, uris: dict[str, str]) -> None:
    check.run(VFIO_USER.subject(device, uris[device]))


@pytest.mark.parametrize(
    ("device", "check"),
    [(device, check) for device, check in CASES if Ability.REMOVAL in check.needs],
    ids=str,
)
def test_a_lost_server_is_a_removed_device(device: str, check: Check, tmp_path: Path) -> None:
    with mortal(device, tmp_path / "device.sock") as server:
        subject = VFIO_USER.subject(device, server.uri)
        check.run(replace(subject, opener=server.open, remove=server.kill))
