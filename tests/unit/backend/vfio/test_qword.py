from __future__ import annotations

import pytest

from pymmio.backend.vfio.qword import is_one_access


@pytest.mark.parametrize(
    ("release", "machine", "expected"),
    [
        ("6.10.14", "s390x", False),
        ("6.11.0", "s390x", True),
        ("6.11", "aarch64", True),
        ("7.0.1-custom", "riscv64", True),
        ("6.1.0-40-amd64", "x86_64", False),
        ("6.11.5", "x86_64", False),
        ("6.12.15-amd64", "x86_64", False),
        ("6.12.16", "x86_64", True),
        ("6.12.57+deb13-amd64", "x86_64", True),
        ("6.13.3", "x86_64", False),
        ("6.13.4", "x86_64", True),
        ("6.14.0-rc1", "x86_64", True),
        ("6.18.44", "x86_64", True),
        ("6.18.44", "i686", False),
        ("6.18.44", "armv7l", False),
        ("unheard of", "x86_64", False),
        ("", "s390x", False),
    ],
)
def test_kernels_that_make_one_access(release: str, machine: str, expected: bool) -> None:
    assert is_one_access(release, machine) is expected
