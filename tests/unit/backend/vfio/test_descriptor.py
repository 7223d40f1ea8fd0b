from __future__ import annotations

import errno
import os

import pytest

from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.kernel import LinuxKernel
from pymmio.errors import Closed, ForkedObject


@pytest.fixture
def descriptor() -> Descriptor:
    kernel = LinuxKernel()
    return Descriptor(kernel, kernel.open("/dev/zero", os.O_RDWR), "thing")


def test_closing_twice_closes_once(descriptor: Descriptor) -> None:
    number = descriptor.fd
    descriptor.close()
    other = os.open("/dev/null", os.O_RDONLY)  # very likely the same number again
    try:
        descriptor.close()
        os.fstat(other)
    finally:
        os.close(other)
    assert not descriptor.is_ours
    with pytest.raises(Closed, match="thing"):
        descriptor.fd
    assert number >= 0


def test_a_forked_child_lets_go_and_the_number_stays_harmless(descriptor: Descriptor) -> None:
    number = descriptor.fd
    descriptor.after_fork()
    with pytest.raises(ForkedObject):
        descriptor.fd
    assert os.readlink(f"/proc/self/fd/{number}") == "/"
    with pytest.raises(OSError) as caught:
        os.pwrite(number, b"x", 0)
    assert caught.value.errno == errno.EBADF
    assert not os.get_inheritable(number)
    descriptor.close()  # does nothing in a child
    os.fstat(number)
    os.close(number)


def test_after_fork_of_a_closed_descriptor_touches_nothing(descriptor: Descriptor) -> None:
    descriptor.close()
    descriptor.after_fork()
    with pytest.raises(Closed):
        descriptor.fd


def test_files_are_closed_on_exec(descriptor: Descriptor) -> None:
    assert not os.get_inheritable(descriptor.fd)
    descriptor.close()
