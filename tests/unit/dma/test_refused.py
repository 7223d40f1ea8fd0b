from __future__ import annotations

import mmap

import pytest

from pymmio.dma import DmaSpace
from pymmio.errors import PymmioError, Unsupported
from pymmio.testing.fakes import FakeDma


class Refusing(FakeDma):
    """A backend that gives its device no memory."""

    def why_no_dma(self) -> PymmioError:
        return Unsupported("there is none", hint="Go elsewhere")


def test_asking_for_memory_says_why_there_is_none() -> None:
    dma = Refusing(iova_ranges=())
    with DmaSpace(dma) as space:
        assert not space.is_usable
        for use in (space.require_usable, lambda: space.alloc(mmap.PAGESIZE)):
            with pytest.raises(Unsupported, match="Go elsewhere"):
                use()
        assert space.mapped_bytes == 0
    assert dma.calls == []


def test_others_may_be_asked() -> None:
    with DmaSpace(FakeDma()) as space:
        assert space.is_usable
        space.require_usable()
