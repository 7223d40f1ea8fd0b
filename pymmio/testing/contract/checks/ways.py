"""Ways of access: each that is offered works, each that is not is refused."""

from __future__ import annotations

import errno
import mmap
import os

from pymmio.errors import PymmioError, Unsupported
from pymmio.handle import CONFIG_REGION, Access
from pymmio.testing.contract.check import Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.footprint import leaves_nothing
from pymmio.testing.contract.subject import Subject

_WAYS = tuple(way for way in Access if way is not Access.AUTO)


@check(Group.REGIONS)
def each_way_of_access_works_or_is_refused(subject: Subject) -> None:
    """A forced way reaches the registers in just this way, or raises and says what is offered."""
    reached = []
    for way in _WAYS:
        with subject.open(access=way) as device:
            try:
                regions = {e.region: device.region(e.region) for e in subject.kind.echoes}
            except Unsupported as error:
                assert "It offers" in str(error), error
                continue
            assert all(region.access is way for region in regions.values()), regions
            with subject.exercise(device) as exerciser:
                for echo in exerciser.echoes:
                    exerciser.echo(echo, 0x123456789ABCDEF0)
            reached.append(way)
    assert reached, "no way reaches the registers"


@check(Group.REGIONS)
def ways_that_are_not_offered_are_refused(subject: Subject) -> None:
    """At least one way is not offered: its refusal says what is, and leaves nothing."""
    refused = 0
    for way in _WAYS:
        with leaves_nothing(f"access={way}"), subject.open(access=way) as device:
            try:
                device.region(subject.kind.fixed[0].region)
            except Unsupported as error:
                assert "It offers" in str(error), error
                refused += 1
    assert refused, "MESSAGE, PREAD and MIO are not all possible at once"


@check(Group.REGIONS)
def no_way_is_called_that(subject: Subject) -> None:
    """A way that does not exist is refused before the device is touched."""
    with leaves_nothing():
        error = raises(PymmioError, lambda: subject.open(access="telepathy").close())
        assert "mapped" in str(error), error


@check(Group.REGIONS)
def configuration_space_is_reached_in_each_way(subject: Subject) -> None:
    """A forced way is for BARs; configuration space works all the same."""
    for way in (Access.AUTO, *_WAYS):
        with subject.open(access=way) as device:
            assert device.region(CONFIG_REGION).read32(0) not in (0, 0xFFFF_FFFF), way


@check(Group.REGIONS)
def pread_sources_are_the_region(subject: Subject) -> None:
    """A file for pread shows the region's bytes, short at the region's end."""
    with subject.open() as device:
        raw = device.handle.open_region(CONFIG_REGION)
        source = raw.pread_source()
        if source is None:
            return
        fd, start = source
        data = b"".join(os.pread(fd, 4, start + at) for at in range(0, 0x40, 4))
        expected = b"".join(raw.read(at, 4).to_bytes(4, "little") for at in range(0, 0x40, 4))
        assert data == expected


@check(Group.REGIONS)
def what_is_not_mappable_is_not_mapped(subject: Subject) -> None:
    """A region whose description allows no mapping gives no file that maps, or none at all."""
    with subject.open() as device:
        for info in device.regions.values():
            source = device.handle.open_region(info.index).mmap_source()
            if info.mappable or source is None:
                continue
            fd, start = source
            try:
                mmap.mmap(fd, 4096, offset=start).close()
            except OSError as error:
                assert error.errno in (errno.EINVAL, errno.ENODEV, errno.EACCES, errno.EPERM)
            else:
                raise AssertionError(f"{info.name} can be mapped, and says that it cannot")
