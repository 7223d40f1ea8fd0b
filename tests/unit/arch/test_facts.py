"""Facts of the architectures: complete, and the same names as io.h defines."""

from __future__ import annotations

import importlib
import platform
import sys
from pathlib import Path

import pytest

import pymmio.arch
from pymmio.arch import current, lib
from pymmio.errors import Unsupported

ARCHES = ["x86_64", "aarch64", "riscv64", "ppc64le", "s390x"]
HERE = Path(pymmio.arch.__file__).parent


@pytest.mark.parametrize("name", ARCHES)
def test_each_architecture_has_facts_and_the_same_accessors(name: str) -> None:
    arch = importlib.import_module(f"pymmio.arch.{name}").ARCH
    assert arch.name == name
    text = (HERE / name / "io.h").read_text()
    assert [barrier.name for barrier in arch.barriers] == [
        "dma_wmb",
        "dma_rmb",
        "dma_mb",
        "mmio_wmb",
    ]
    for barrier in arch.barriers:
        assert f"static inline void pm_{barrier.name}(void)" in text
        assert barrier.orders
        assert barrier.source
    assert (HERE / name / "README.md").exists()


@pytest.mark.parametrize(
    ("name", "byteorder"), [(a, "little") for a in ARCHES[:4]] + [("s390x", "big")]
)
def test_byte_orders(name: str, byteorder: str) -> None:
    assert importlib.import_module(f"pymmio.arch.{name}").ARCH.byteorder == byteorder


def test_the_current_architecture_is_this_machine() -> None:
    assert current().name == platform.machine()
    assert current().byteorder == sys.byteorder


def test_an_unknown_architecture_says_what_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(Unsupported, match="vax"):
        current.__wrapped__()


def test_the_exception_table_has_an_entry_for_each_accessor() -> None:
    # 4 widths x load and store, in the Python type, in read/write, wait, copies, doorbell
    assert (lib.pm_ex_count() >= 8) == current().has_accessors


def test_barriers_can_be_called() -> None:
    for barrier in current().barriers:
        getattr(lib, f"pm_{barrier.name}")()
