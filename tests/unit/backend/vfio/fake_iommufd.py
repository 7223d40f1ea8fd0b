"""iommufd and the nodes of devices, as a part of the fake kernel.

All numbers are literals from <linux/iommufd.h> and <linux/vfio.h>.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

CDEV_PATH = "/dev/vfio/devices/vfio0"
SECOND_CDEV_PATH = "/dev/vfio/devices/vfio1"
CDEVS = (CDEV_PATH, SECOND_CDEV_PATH)
IOMMU_PATH = "/dev/iommu"

IOMMUFD_REQUESTS = {
    0x3B80: "DESTROY",
    0x3B81: "IOAS_ALLOC",
    0x3B84: "IOAS_IOVA_RANGES",
    0x3B85: "IOAS_MAP",
    0x3B86: "IOAS_UNMAP",
}


def oserror(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class FakeIommufd:
    """iommufd and what cdevs do with it."""

    def __init__(self, open_fds: dict[int, str]) -> None:
        self.open_fds = open_fds
        self.ranges = [(0, 0xFEDFFFFF), (0xFEF00000, (1 << 48) - 1)]
        self.alignment = 0x1000
        self.ioas: dict[int, int] = {}  # id -> the iommufd that it is in
        self.bound: dict[int, int] = {}  # descriptor of a cdev -> iommufd
        self.attached: dict[int, int] = {}  # descriptor of a cdev -> IOAS
        self.takes_tokens = True
        self.held: set[int] = set()  # descriptors of cdevs that a mapping keeps after close
        self.maps: dict[int, tuple[int, int]] = {}
        self.tokens: list[str] = []

    def closed(self, fd: int, path: str) -> None:
        if path == IOMMU_PATH:
            self.ioas = {number: where for number, where in self.ioas.items() if where != fd}
        if fd not in self.held:
            self.bound.pop(fd, None)
            self.attached.pop(fd, None)

    def ioctl(self, fd: int, path: str, name: str, argument: bytearray | int) -> bool:
        if path in CDEVS and name not in (
            "DEVICE_BIND_IOMMUFD",
            "DEVICE_ATTACH_IOMMUFD_PT",
            "DEVICE_DETACH_IOMMUFD_PT",
        ):
            if fd not in self.bound:
                raise oserror(errno.EINVAL)
            return False
        assert (path == IOMMU_PATH) == (name in IOMMUFD_REQUESTS.values())
        assert isinstance(argument, bytearray)
        assert struct.unpack_from("=I", argument)[0] == len(argument)
        getattr(self, f"_{name.lower()}")(fd, argument)
        return True

    def _device_bind_iommufd(self, fd: int, argument: bytearray) -> None:
        _, flags, iommufd, _ = struct.unpack_from("=IIiI", argument)
        assert self.open_fds[iommufd] == IOMMU_PATH
        path = self.open_fds[fd]
        others = [f for f in self.bound if self.open_fds.get(f) == path]
        if others or (flags and not self.takes_tokens):
            raise oserror(errno.EINVAL)
        assert (len(argument), flags) in ((16, 0), (24, 1))
        if flags:
            (pointer,) = struct.unpack_from("=Q", argument, 16)
            self.tokens.append(ctypes.string_at(pointer, 16).hex())
        self.bound[fd] = iommufd

    def _device_attach_iommufd_pt(self, fd: int, argument: bytearray) -> None:
        _, flags, ioas = struct.unpack("=III", argument)
        assert flags == 0
        assert self.ioas[ioas] == self.bound[fd]
        self.attached[fd] = ioas
        struct.pack_into("=I", argument, 8, 0x77)  # the hardware page table's id

    def _device_detach_iommufd_pt(self, fd: int, argument: bytearray) -> None:
        assert struct.unpack("=II", argument)[1] == 0
        del self.attached[fd]

    def _ioas_alloc(self, fd: int, argument: bytearray) -> None:
        assert struct.unpack("=III", argument)[1] == 0
        number = 1 + len(self.ioas)
        self.ioas[number] = fd
        struct.pack_into("=I", argument, 8, number)

    def _destroy(self, fd: int, argument: bytearray) -> None:
        (_, number) = struct.unpack("=II", argument)
        if number in self.attached.values():
            raise oserror(errno.EBUSY)
        assert self.ioas.pop(number) == fd

    def _ioas_iova_ranges(self, fd: int, argument: bytearray) -> None:
        _, number, room, _, pointer, _ = struct.unpack("=IIIIQQ", argument)
        assert number in self.attached.values()  # before that the answer is not true
        data = b"".join(struct.pack("=QQ", *item) for item in self.ranges)
        ctypes.memmove(pointer, data, min(len(data), room * 16))
        struct.pack_into("=I", argument, 8, len(self.ranges))
        struct.pack_into("=Q", argument, 24, self.alignment)
        if len(self.ranges) > room:
            raise oserror(errno.EMSGSIZE)

    def _ioas_map(self, fd: int, argument: bytearray) -> None:
        size, flags, number, _, vaddr, length, iova = struct.unpack("=IIIIQQQ", argument)
        assert (size, flags) == (40, 0b111)
        assert self.ioas[number] == fd
        self.maps[iova] = (length, vaddr)

    def _ioas_unmap(self, fd: int, argument: bytearray) -> None:
        _, number, iova, length = struct.unpack("=IIQQ", argument)
        assert self.ioas[number] == fd
        there = [i for i, (n, _) in self.maps.items() if iova <= i and i + n <= iova + length]
        if not there:
            raise oserror(errno.ENOENT)
        struct.pack_into("=Q", argument, 16, sum(self.maps.pop(i)[0] for i in there))
