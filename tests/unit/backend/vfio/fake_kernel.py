"""A kernel with PCI devices behind VFIO, in which every step can be made to fail.

All numbers are literals from <linux/vfio.h>, so that a wrong one in the package is found.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.backend.vfio.fake_iommufd import (
    CDEV_PATH,
    CDEVS,
    IOMMU_PATH,
    IOMMUFD_REQUESTS,
    SECOND_CDEV_PATH,
    FakeIommufd,
    oserror,
)

ADDRESS = "0000:01:00.0"
GROUP = 7
DEVICE_PATH = f"/sys/bus/pci/devices/{ADDRESS}"
GROUP_PATH = f"/dev/vfio/{GROUP}"
CONTAINER_PATH = "/dev/vfio/vfio"
SECOND = "0000:02:00.0"
SECOND_GROUP = 8
SECOND_GROUP_PATH = f"/dev/vfio/{SECOND_GROUP}"
NOIOMMU_PATH = f"/dev/vfio/noiommu-{GROUP}"

REQUESTS = {
    0x3B64: "GET_API_VERSION",
    0x3B65: "CHECK_EXTENSION",
    0x3B66: "SET_IOMMU",
    0x3B67: "GROUP_GET_STATUS",
    0x3B68: "GROUP_SET_CONTAINER",
    0x3B69: "GROUP_UNSET_CONTAINER",
    0x3B6A: "GROUP_GET_DEVICE_FD",
    0x3B6B: "DEVICE_GET_INFO",
    0x3B6C: "DEVICE_GET_REGION_INFO",
    0x3B6D: "DEVICE_GET_IRQ_INFO",
    0x3B6E: "DEVICE_SET_IRQS",
    0x3B6F: "DEVICE_RESET",
    0x3B70: "IOMMU_GET_INFO",
    0x3B71: "IOMMU_MAP_DMA",
    0x3B72: "IOMMU_UNMAP_DMA",
    0x3B75: "DEVICE_FEATURE",
    0x3B76: "DEVICE_BIND_IOMMUFD",
    0x3B77: "DEVICE_ATTACH_IOMMUFD_PT",
    0x3B78: "DEVICE_DETACH_IOMMUFD_PT",
}
# The same numbers mean something else on a device.
DEVICE_REQUESTS = {
    0x3B70: "DEVICE_GET_PCI_HOT_RESET_INFO",
    0x3B71: "DEVICE_PCI_HOT_RESET",
}
# The same numbers mean something else on a device.
DEVICE_REQUESTS = {
    0x3B70: "DEVICE_GET_PCI_HOT_RESET_INFO",
    0x3B71: "DEVICE_PCI_HOT_RESET",
}


def cap(cap_id: int, version: int, body: bytes) -> tuple[int, int, bytes]:
    return cap_id, version, body


def with_caps(fixed: bytes, cap_offset_at: int, caps: list[tuple[int, int, bytes]]) -> bytes:
    """Append a capability chain as the kernel builds it."""
    if not caps:
        return fixed
    answer = bytearray(fixed)
    struct.pack_into("=I", answer, cap_offset_at, len(answer))
    for number, (cap_id, version, body) in enumerate(caps):
        size = 8 + -(-len(body) // 8) * 8
        following = 0 if number == len(caps) - 1 else len(answer) + size
        answer += struct.pack("=HHI", cap_id, version, following) + body.ljust(size - 8, b"\0")
    return bytes(answer)


def pairs(*items: tuple[int, int]) -> bytes:
    """Body of a capability that is a list of pairs."""
    return struct.pack("=II", len(items), 0) + b"".join(struct.pack("=QQ", *i) for i in items)


PAGEMAP = "/proc/self/pagemap"


@dataclass
class FakeRegion:
    content: bytearray
    flags: int = 0b0011  # READ | WRITE
    caps: list[tuple[int, int, bytes]] = field(default_factory=list)


def config_space() -> bytearray:
    """Configuration space with an MSI-X capability: 4 vectors, table in BAR0 at 0x2000."""
    config = bytearray(256)
    struct.pack_into("<HHHH", config, 0, 0x1B36, 0x0010, 0, 0x0010)
    config[0x34] = 0x40
    struct.pack_into("<BBHII", config, 0x40, 0x11, 0, 3, 0x2000, 0x3000)
    return config


class FakeKernel:
    """Implements the Kernel Protocol; ``open_fds`` says what nobody has closed."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {
            f"{DEVICE_PATH}/vendor": "0x1b36",
            f"{DEVICE_PATH}/device": "0x0010",
            f"{DEVICE_PATH}/resource": "\n".join(
                [
                    "0x00000000fe000000 0x00000000fe003fff 0x0000000000140204",
                    "0x0000000000000000 0x0000000000000000 0x0000000000000000",
                    "0x000000000000c000 0x000000000000c01f 0x0000000000040101",
                ]
            ),
        }
        self.links: dict[str, str] = {
            f"{DEVICE_PATH}/driver": "../../../bus/pci/drivers/vfio-pci",
            f"{DEVICE_PATH}/iommu_group": f"../../../kernel/iommu_groups/{GROUP}",
        }
        self.directories: dict[str, list[str]] = {
            DEVICE_PATH: [],
            f"{DEVICE_PATH}/vfio-dev": ["vfio0"],
            "/sys/bus/pci/drivers/vfio-pci": [],
            "/sys/kernel/iommu_groups": [str(GROUP)],
            f"/sys/kernel/iommu_groups/{GROUP}/devices": [ADDRESS],
            "/proc": [],
        }
        self.nodes: set[str] = {GROUP_PATH, CONTAINER_PATH}
        self.open_fds: dict[int, str] = {}
        self.log: list[str] = []  # every step: "open /dev/vfio/7", "GET_API_VERSION", ...
        self.errors: dict[str, int] = {}  # step -> errno
        self.fail_at: int | None = None  # number of the step that fails
        self.fail_with = errno.EIO
        self.results: dict[str, int] = {"CHECK_EXTENSION": 1}
        self.replaced: list[int] = []
        self.viable = True
        self.containers: dict[str, int] = {}  # path of a group -> the container that it is in
        self.tokens: list[str] = []  # vf_token of GROUP_GET_DEVICE_FD
        self.frames: dict[int, int] = {}  # page number of this process -> entry of the pagemap
        self.iommufd = FakeIommufd(self.open_fds)
        self.extension_asked: list[int] = []
        self.iommu_set: list[int] = []
        self.regions: dict[int, FakeRegion] = {
            0: FakeRegion(bytearray(0x4000), 0b1111, [cap(3, 1, b"")]),
            2: FakeRegion(bytearray(0x20)),
            7: FakeRegion(config_space()),
        }
        self.device_flags = 0b11  # RESET | PCI
        self.region_count = 9
        self.irq_count = 5
        self.irqs: dict[int, tuple[int, int]] = {  # index -> flags, count
            0: (0b0111, 1),
            1: (0b1001, 1),
            2: (0b0001, 4),
            4: (0b0001, 1),
        }
        self.triggers: dict[int, list[int]] = {}
        self.vector_limit: int | None = None  # how many the machine can give
        self.unmasked = 0
        self.page_sizes = 0x1000 | 0x20_0000 | 0x4000_0000
        self.iommu_caps = [
            cap(1, 1, pairs((0, 0xFEDFFFFF), (0xFEF00000, (1 << 48) - 1))),
            cap(3, 1, struct.pack("=I", 65535)),
        ]
        self.maps: dict[int, tuple[int, int]] = {}  # iova -> size, vaddr
        # who a reset of the bus would hit: group or device id, segment, bus, devfn
        self.hot_reset_info: list[tuple[int, int, int, int]] | None = None
        self.hot_reset_flags = 0
        self.hot_resets: list[list[str]] = []  # the groups that were shown
        self.max_transfer: int | None = None
        self.uname = ("6.12.57-amd64", "x86_64")
        self.change_answer: dict[str, Callable[[bytes], bytes]] = {}
        self._next_fd = 1000

    # --- Kernel ----------------------------------------------------------------------

    def open(self, path: str, flags: int) -> int:
        self._step(f"open {path}")
        if path not in self.nodes:
            raise oserror(errno.ENOENT)
        assert flags == (os.O_RDONLY if path == PAGEMAP else os.O_RDWR)
        return self._new_fd(path)

    def close(self, fd: int) -> None:
        what = self.open_fds.pop(fd)
        self.containers.pop(what, None)
        self.iommufd.closed(fd, what)
        self._step(f"close {what}")  # close() closes, whatever it returns

    def ioctl(self, fd: int, request: int, argument: bytearray | int = 0) -> int:
        path = self.open_fds[fd]
        name = (REQUESTS | IOMMUFD_REQUESTS)[request & 0xFFFF]
        if path in (ADDRESS, *CDEVS):
            name = DEVICE_REQUESTS.get(request & 0xFFFF, name)
        if name == "DEVICE_GET_REGION_INFO" and isinstance(argument, bytearray):
            self._step(f"{name} {struct.unpack_from('=I', argument, 8)[0]}")
        else:
            self._step(name)
        if path == IOMMU_PATH or path in CDEVS:
            handled = self.iommufd.ioctl(fd, path, name, argument)
            if handled:
                return self.results.get(name, 0)
        if name.startswith("GROUP_"):
            assert path in (GROUP_PATH, SECOND_GROUP_PATH, NOIOMMU_PATH)
        elif name.startswith("DEVICE_"):
            assert path in (ADDRESS, SECOND, *CDEVS)
        else:
            assert path == CONTAINER_PATH
        self._path = path
        method: Callable[[bytearray | int], int | None] = getattr(self, f"_{name.lower()}")
        return method(argument) or self.results.get(name, 0)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        if self.open_fds[fd] == PAGEMAP:
            entries = range(offset // 8, (offset + size) // 8)
            return b"".join(struct.pack("=Q", self.frames.get(n, 0)) for n in entries)
        self._step(f"pread {offset >> 40}")
        assert self.open_fds[fd] in (ADDRESS, SECOND, *CDEVS)
        at = offset & (1 << 40) - 1
        data = bytes(self.regions[offset >> 40].content[at : at + size])
        return data[: self.max_transfer]

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        self._step(f"pwrite {offset >> 40}")
        assert self.open_fds[fd] in (ADDRESS, SECOND, *CDEVS)
        at = offset & (1 << 40) - 1
        data = data[: self.max_transfer]
        self.regions[offset >> 40].content[at : at + len(data)] = data
        return len(data)

    def replace_by_nothing(self, fd: int) -> None:
        self.replaced.append(fd)

    def exists(self, path: str) -> bool:
        return any(
            path in known for known in (self.texts, self.links, self.directories, self.nodes)
        )

    def read_text(self, path: str) -> str:
        if path not in self.texts:
            raise oserror(errno.ENOENT)
        return self.texts[path]

    def read_link(self, path: str) -> str:
        if path not in self.links:
            raise oserror(errno.ENOENT)
        return self.links[path]

    def list_directory(self, path: str) -> list[str]:
        if path not in self.directories:
            raise oserror(errno.ENOENT)
        return self.directories[path]

    def owner_of(self, path: str) -> tuple[int, int, int]:
        return 0, 0, 0o600

    def release(self) -> str:
        return self.uname[0]

    def machine(self) -> str:
        return self.uname[1]

    # --- set-up by tests ---------------------------------------------------------------

    def add_member(self, address: str, driver: str | None) -> None:
        self.directories[f"/sys/kernel/iommu_groups/{GROUP}/devices"].append(address)
        if driver is not None:
            self.links[f"/sys/bus/pci/devices/{address}/driver"] = f"../drivers/{driver}"

    def add_second(self, *, group: int = SECOND_GROUP) -> None:
        """Add another function that is bound to vfio-pci."""
        path = f"/sys/bus/pci/devices/{SECOND}"
        for name in ("vendor", "device", "resource"):
            self.texts[f"{path}/{name}"] = self.texts[f"{DEVICE_PATH}/{name}"]
        self.links[f"{path}/driver"] = "../../../bus/pci/drivers/vfio-pci"
        self.links[f"{path}/iommu_group"] = f"../../../kernel/iommu_groups/{group}"
        self.directories |= {path: [], f"{path}/vfio-dev": ["vfio1"]}
        members = f"/sys/kernel/iommu_groups/{group}/devices"
        self.directories[members] = [*self.directories.get(members, []), SECOND]
        if group != GROUP:
            self.nodes.add(SECOND_GROUP_PATH)

    def offer_cdevs(self) -> None:
        """Be a kernel with iommufd and VFIO_DEVICE_CDEV."""
        for address, path in ((ADDRESS, CDEV_PATH), (SECOND, SECOND_CDEV_PATH)):
            if f"/sys/bus/pci/devices/{address}/vendor" in self.texts:
                name = path.rsplit("/", 1)[-1]
                self.texts[f"/sys/bus/pci/devices/{address}/vfio-dev/{name}/dev"] = "511:0"
                self.nodes.add(path)
        self.nodes.add(IOMMU_PATH)

    def be_without_iommu(self) -> None:
        """Be a kernel whose VFIO was told to do without."""
        self.nodes = {CONTAINER_PATH, NOIOMMU_PATH, PAGEMAP}
        self.texts[f"/sys/kernel/iommu_groups/{GROUP}/name"] = "vfio-noiommu"

    def hold(self, pid: int, path: str, comm: str = "qemu") -> None:
        """Have a process hold a file."""
        self.directories["/proc"] = [*self.directories["/proc"], str(pid)]
        self.directories[f"/proc/{pid}/fd"] = ["5"]
        self.links[f"/proc/{pid}/fd/5"] = path
        self.texts[f"/proc/{pid}/comm"] = comm

    @property
    def container_set(self) -> bool:
        """Whether any group is in a container."""
        return bool(self.containers)

    def bind(self, driver: str | None) -> None:
        """Bind the device to a driver that is none of VFIO's, or to none."""
        del self.directories[f"{DEVICE_PATH}/vfio-dev"]
        del self.links[f"{DEVICE_PATH}/driver"]
        if driver is not None:
            self.links[f"{DEVICE_PATH}/driver"] = f"../../../bus/pci/drivers/{driver}"

    def remove_device(self) -> None:
        for table in (self.texts, self.links, self.directories):
            for path in [p for p in table if p.startswith(DEVICE_PATH)]:
                del table[path]

    # --- ioctls ----------------------------------------------------------------------

    def _get_api_version(self, argument: int) -> int:
        return 0

    def _check_extension(self, argument: int) -> int:
        self.extension_asked.append(argument)
        return 0

    def _set_iommu(self, argument: int) -> None:
        assert self.container_set
        self.iommu_set.append(argument)

    def _group_get_status(self, argument: bytearray) -> None:
        assert struct.unpack_from("=I", argument)[0] == 8
        struct.pack_into("=I", argument, 4, self.viable | (self._path in self.containers) << 1)

    def _group_set_container(self, argument: bytearray) -> None:
        (fd,) = struct.unpack("=i", argument)
        assert self.open_fds[fd] == CONTAINER_PATH
        self.containers[self._path] = fd

    def _group_unset_container(self, argument: int) -> None:
        numbers = {GROUP_PATH: GROUP, SECOND_GROUP_PATH: SECOND_GROUP, NOIOMMU_PATH: GROUP}
        members = self.directories[f"/sys/kernel/iommu_groups/{numbers[self._path]}/devices"]
        if set(members) & set(self.open_fds.values()):
            raise oserror(errno.EBUSY)
        del self.containers[self._path]

    def _group_get_device_fd(self, argument: bytearray) -> int:
        assert self.iommu_set
        assert self._path in self.containers
        assert argument.endswith(b"\0")
        address, _, token = argument[:-1].decode().partition(" vf_token=")
        assert address in (ADDRESS, SECOND)
        self.tokens.append(token)
        return self._new_fd(address)

    def _device_get_info(self, argument: bytearray) -> None:
        answer = struct.pack("=IIIII", 20, self.device_flags, self.region_count, self.irq_count, 0)
        self._answer(argument, "DEVICE_GET_INFO", answer)

    def _device_get_region_info(self, argument: bytearray) -> None:
        (index,) = struct.unpack_from("=I", argument, 8)
        if index == 8 and index not in self.regions:
            raise oserror(errno.EINVAL)
        region = self.regions.get(index, FakeRegion(bytearray(), 0))
        fixed = struct.pack("=IIIIQQ", 32, region.flags, index, 0, len(region.content), index << 40)
        self._answer(argument, "DEVICE_GET_REGION_INFO", with_caps(fixed, 12, region.caps))

    def _device_get_irq_info(self, argument: bytearray) -> None:
        (index,) = struct.unpack_from("=I", argument, 8)
        if index not in self.irqs:
            raise oserror(errno.EINVAL)
        argument[:] = struct.pack("=IIII", 16, self.irqs[index][0], index, self.irqs[index][1])

    def _device_set_irqs(self, argument: bytearray) -> int:
        size, flags, index, start, count = struct.unpack_from("=IIIII", argument)
        assert size == len(argument)
        if flags == (1 << 0 | 1 << 4):  # DATA_NONE, ACTION_UNMASK
            assert index == 0
            assert count == 1
            self.unmasked += 1
            return 0
        assert flags & 1 << 5  # ACTION_TRIGGER
        others = [i for i in self.triggers if i < 3 and i != index]
        if index < 3 and others:
            raise oserror(errno.EINVAL)
        if count == 0:
            assert flags & 1 << 0
            if index not in self.triggers:
                raise oserror(errno.EINVAL)
            del self.triggers[index]
            return 0
        assert flags & 1 << 2  # DATA_EVENTFD
        fds = list(struct.unpack_from(f"={count}i", argument, 20))
        if self.results.get("DEVICE_SET_IRQS"):
            return 0
        before = self.triggers.get(index, [])
        if before and start + count > len(before) and self.irqs[index][0] & 0b1000:  # NORESIZE
            raise oserror(errno.EINVAL)
        limit = self.vector_limit
        taken = sum(fd >= 0 for fd in before)
        if not before:  # vfio_msi_enable takes vectors for all below as well
            taken = start + count if limit is None or start + count <= limit else limit
            if taken < start + count:
                return taken
        elif limit is not None and taken + count > limit:
            raise oserror(errno.ENOSPC)
        there = before + [-1] * (start + count - len(before))
        there[start : start + count] = fds
        self.triggers[index] = there
        return 0

    def _device_feature(self, argument: bytearray) -> None:
        size, flags = struct.unpack_from("=II", argument)
        assert (size, flags) == (24, 1 << 17)  # SET, feature 0
        self.tokens.append(bytes(argument[8:]).hex())

    def _device_reset(self, argument: int) -> None:
        pass

    def _device_get_pci_hot_reset_info(self, argument: bytearray) -> None:
        if self.hot_reset_info is None:
            raise oserror(errno.ENODEV)
        (size,) = struct.unpack_from("=I", argument)
        assert size == len(argument)
        devices = b"".join(struct.pack("=IHBB", *one) for one in self.hot_reset_info)
        count = len(self.hot_reset_info)
        struct.pack_into("=II", argument, 4, self.hot_reset_flags, count)
        if 12 + len(devices) > size:
            raise oserror(errno.ENOSPC)
        argument[12 : 12 + len(devices)] = devices

    def _device_pci_hot_reset(self, argument: bytearray) -> None:
        size, flags, count = struct.unpack_from("=III", argument)
        assert (size, flags) == (len(argument), 0)
        fds = struct.unpack_from(f"={count}i", argument, 12)
        self.hot_resets.append([self.open_fds[fd] for fd in fds])

    def _iommu_get_info(self, argument: bytearray) -> None:
        flags = 0b01 | (0b10 if self.iommu_caps else 0)
        fixed = struct.pack("=IIQII", 24, flags, self.page_sizes, 0, 0)
        self._answer(argument, "IOMMU_GET_INFO", with_caps(fixed, 16, self.iommu_caps))

    def _iommu_map_dma(self, argument: bytearray) -> None:
        size, flags, vaddr, iova, length = struct.unpack("=IIQQQ", argument)
        assert size == 32
        assert flags == 0b11
        self.maps[iova] = (length, vaddr)

    def _iommu_unmap_dma(self, argument: bytearray) -> None:
        size, flags, iova, length = struct.unpack("=IIQQ", argument)
        assert (size, flags) == (24, 0)
        there = self.maps.get(iova, (0, 0))[0]
        if there == length:
            del self.maps[iova]
        struct.pack_into("=Q", argument, 16, there if there == length else 0)

    # --- helpers -----------------------------------------------------------------------

    def _answer(self, argument: bytearray, name: str, answer: bytes) -> None:
        """Fill in an information structure: argsz says what would be needed."""
        change = self.change_answer.get(name)
        answer = change(answer) if change else answer
        announced = struct.unpack_from("=I", answer)[0]
        needed = max(announced, len(answer))
        copied = answer if len(answer) <= len(argument) else answer[: len(argument)]
        argument[: len(copied)] = copied
        struct.pack_into("=I", argument, 0, needed)

    def _step(self, what: str) -> None:
        number = len(self.log)
        self.log.append(what)
        if self.fail_at == number:
            raise oserror(self.fail_with)
        if what in self.errors:
            raise oserror(self.errors[what])

    def _new_fd(self, path: str) -> int:
        self._next_fd += 1
        self.open_fds[self._next_fd] = path
        return self._next_fd
