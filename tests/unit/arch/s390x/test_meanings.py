from __future__ import annotations

import errno
import os

import pytest

from pymmio.arch.s390x.meanings import of_condition_code, of_errno


@pytest.mark.parametrize(
    ("cc", "status", "said"),
    [
        (1, 8, "condition code 1, status 8: the function is in error state"),
        (1, 99, "condition code 1, status 99: the access was refused"),
        (2, 0, "condition code 2, status 0: the function is busy"),
        (3, None, "condition code 3: there is no such function any more (invalid handle)"),
        (7, None, "condition code 7: unknown"),
    ],
)
def test_a_condition_code_is_said_with_its_meaning(cc: int, status: int | None, said: str) -> None:
    assert of_condition_code(cc, status) == said


@pytest.mark.parametrize("name", ["ENXIO", "EINVAL", "EACCES", "EFAULT", "ENOSYS"])
def test_an_errno_of_the_system_calls_has_a_meaning_of_its_own(name: str) -> None:
    number = getattr(errno, name)
    assert of_errno(number).startswith(f"{name}: ")
    assert os.strerror(number) not in of_errno(number)


def test_other_errnos_are_said_as_the_system_says_them() -> None:
    assert of_errno(errno.ENOMEM) == "ENOMEM: Cannot allocate memory"
    assert of_errno(4711).startswith("errno 4711: ")
