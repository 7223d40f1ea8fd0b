from __future__ import annotations

import errno

import pytest

from pymmio.backend.vfio.opening import Interface
from pymmio.backend.vfio.vf_token import VfToken
from pymmio.errors import DeviceBusy, PermissionRefused, Unsupported, UriError
from tests.unit.backend.vfio.fake_iommufd import CDEV_PATH
from tests.unit.backend.vfio.fake_kernel import DEVICE_PATH, FakeKernel
from tests.unit.backend.vfio.helpers import open_fake

TEXT = "01234567-89ab-cdef-0123-456789abcdef"
TOKEN = VfToken.parse(TEXT)
PHYSICAL = "0000:01:00.7"


@pytest.fixture
def kernel() -> FakeKernel:
    kernel = FakeKernel()
    kernel.links[f"{DEVICE_PATH}/physfn"] = f"../{PHYSICAL}"
    return kernel


def test_a_token_is_sixteen_bytes_in_the_order_of_its_text() -> None:
    assert TOKEN.data.hex() == TEXT.replace("-", "")
    assert VfToken.parse(TEXT.upper()) == TOKEN


def test_a_token_is_not_shown() -> None:
    assert TEXT not in repr(TOKEN)


@pytest.mark.parametrize("text", ["", "1", TEXT[:-1], TEXT.replace("-", ""), f"{{{TEXT}}}"])
def test_other_texts_are_no_tokens(text: str) -> None:
    with pytest.raises(UriError, match="uuidgen"):
        VfToken.parse(text)


def test_by_group_it_stands_behind_the_address(kernel: FakeKernel) -> None:
    open_fake(kernel, token=TOKEN)
    assert kernel.tokens == [TEXT]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_missing_token_names_whose_it_is(kernel: FakeKernel, number: int) -> None:
    kernel.errors["GROUP_GET_DEVICE_FD"] = number
    with pytest.raises(PermissionRefused, match=f"token of its physical function {PHYSICAL}"):
        open_fake(kernel)


def test_a_wrong_token_says_so_and_is_not_repeated(kernel: FakeKernel) -> None:
    kernel.errors["GROUP_GET_DEVICE_FD"] = errno.EACCES
    with pytest.raises(PermissionRefused, match="must be the one") as caught:
        open_fake(kernel, token=TOKEN)
    assert TEXT not in str(caught.value)


def test_a_token_that_nobody_asked_for(kernel: FakeKernel) -> None:
    kernel.errors["GROUP_GET_DEVICE_FD"] = errno.EINVAL
    with pytest.raises(Unsupported, match="leave vf_token out"):
        open_fake(kernel, token=TOKEN)


def test_by_cdev_it_goes_with_the_binding(kernel: FakeKernel) -> None:
    kernel.offer_cdevs()
    open_fake(kernel, Interface.CDEV, token=TOKEN)
    assert kernel.iommufd.tokens == [TEXT.replace("-", "")]
    assert kernel.tokens == []


def test_a_wrong_token_by_cdev(kernel: FakeKernel) -> None:
    kernel.offer_cdevs()
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EACCES
    with pytest.raises(PermissionRefused, match="must be the one"):
        open_fake(kernel, Interface.CDEV, token=TOKEN)
    assert kernel.open_fds == {}


def test_a_kernel_whose_cdevs_take_no_tokens_leaves_the_group(kernel: FakeKernel) -> None:
    kernel.offer_cdevs()
    kernel.iommufd.takes_tokens = False
    with pytest.raises(Unsupported, match="interface=group"):
        open_fake(kernel, Interface.CDEV, token=TOKEN)
    assert kernel.open_fds == {}
    device = open_fake(kernel, token=TOKEN)
    assert device.interface == "group"
    assert kernel.tokens == [TEXT]


def test_there_a_physical_function_is_given_its_token_after_the_binding() -> None:
    kernel = FakeKernel()
    kernel.offer_cdevs()
    kernel.texts[f"{DEVICE_PATH}/sriov_totalvfs"] = "2"
    kernel.iommufd.takes_tokens = False
    open_fake(kernel, Interface.CDEV, token=TOKEN)
    assert kernel.tokens == [TEXT.replace("-", "")]


def test_a_token_that_cannot_be_set_undoes_the_binding() -> None:
    kernel = FakeKernel()
    kernel.offer_cdevs()
    kernel.texts[f"{DEVICE_PATH}/sriov_totalvfs"] = "2"
    kernel.iommufd.takes_tokens = False
    kernel.errors["DEVICE_FEATURE"] = errno.ENOTTY
    with pytest.raises(Unsupported, match="leave vf_token out"):
        open_fake(kernel, Interface.CDEV, token=TOKEN)
    assert kernel.open_fds == {}
    assert kernel.iommufd.bound == {}


def test_a_cdev_that_is_held_is_busy_whether_or_not_there_is_a_token(kernel: FakeKernel) -> None:
    kernel.offer_cdevs()
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EINVAL
    kernel.hold(4321, CDEV_PATH)
    kernel.hold(4322, CDEV_PATH)
    with pytest.raises(DeviceBusy, match=r"4321 \(qemu\)"):
        open_fake(kernel, Interface.CDEV, token=TOKEN)
