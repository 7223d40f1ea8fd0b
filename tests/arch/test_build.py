"""The extensions build for each architecture within the limited API; unknown ones are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

from tests.arch.architectures import ARCHITECTURES, Architecture
from tests.arch.build import BUILDERS, ROOT, WARNINGS, BuildFailed, compile_with
from tests.arch.conftest import require

Build = Callable[[Architecture, str], Path]
EXPORTED = {
    "core": {"PyInit__core", "PyInit__types"},
    "engine": {"PyInit__engine"},
    "queue": {"PyInit__engine"},
    "recorder": {"PyInit__recorder", "pm_compiler", "pm_libc_memcpy", "pm_mark"}
    | {
        f"pm_{prefix}_{direction}{bits}"
        for prefix in ("plain", "builtin", "bytewise", "doubled")
        for direction in ("read", "write")
        for bits in (8, 16, 32, 64)
    }
    | {f"pm_halves_write{bits}" for bits in (16, 32, 64)},
}
REFUSED = (
    '#error "pymmio has no device accessors for this architecture: add pymmio/arch/<arch>/io.h"'
)


def dynamic_symbols(shared: Path) -> list[tuple[str, bool]]:
    """Return name and "is defined here" of the symbols that others see or must bring."""
    with shared.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        return [
            (symbol.name, symbol["st_shndx"] != "SHN_UNDEF")
            for symbol in table.iter_symbols()
            if symbol["st_info"]["bind"] == "STB_GLOBAL"
            and symbol["st_other"]["visibility"] != "STV_HIDDEN"  # as the dynamic linker does
        ]


def test_all_that_is_installed_is_built_here() -> None:
    declared = re.findall(r'"(\S+/build_\w+\.py)"', (ROOT / "setup.py").read_text())
    assert sorted(declared) == sorted(BUILDERS.values())
    assert EXPORTED.keys() == BUILDERS.keys()


@pytest.mark.parametrize("name", EXPORTED)
class TestExtension:
    def test_is_an_object_of_its_architecture(
        self, arch: Architecture, extension_of: Build, name: str
    ) -> None:
        with extension_of(arch, name).open("rb") as file:
            elf = ELFFile(file)
            assert (elf["e_machine"], elf["e_type"]) == (arch.machine, "ET_DYN")
            assert elf.elfclass == 64
            assert elf.little_endian == (arch.byteorder == "little")

    def test_exports_its_modules_and_nothing_else(
        self, arch: Architecture, extension_of: Build, name: str
    ) -> None:
        exported = {n for n, is_here in dynamic_symbols(extension_of(arch, name)) if is_here}
        assert exported - {"_init", "_fini"} == EXPORTED[name]

    def test_takes_from_outside_only_python_and_the_c_library(
        self, arch: Architecture, extension_of: Build, name: str
    ) -> None:
        shared = extension_of(arch, name)
        wanted = {n for n, is_here in dynamic_symbols(shared) if not is_here}
        with shared.open("rb") as file:
            versions = ELFFile(file).get_section_by_name(".gnu.version_r")
            assert isinstance(versions, GNUVerNeedSection)
            libraries = {str(need.name) for need, _ in versions.iter_versions()}
        own = ("pm_", "nvme_", "__start_", "__stop_")
        assert not {symbol for symbol in wanted if symbol.startswith(own)}
        assert all(library.startswith(("libc.so", "ld-linux", "ld64.so")) for library in libraries)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("x86_64", ["-m32"], id="i386"),
        pytest.param("x86_64", ["-mx32"], id="x32"),
        pytest.param("x86_64", ["-U__x86_64__"], id="unknown"),
        pytest.param("aarch64", ["-mbig-endian"], id="aarch64_be"),
        pytest.param("riscv64", ["-march=rv32imac", "-mabi=ilp32"], id="riscv32"),
        pytest.param("ppc64le", ["-mbig"], id="ppc64"),
        pytest.param("s390x", ["-m31"], id="s390"),
    ],
)
def test_another_architecture_is_a_build_error_that_says_what_to_add(
    tmp_path: Path, name: str, options: list[str]
) -> None:
    arch = require(ARCHITECTURES[name])
    source = tmp_path / "includes.c"
    source.write_text('#include "pymmio/arch/io.h"\n')
    # Freestanding: the compiler's own stdint.h, for the C library of the variant is not there.
    arguments = ["-ffreestanding", "-fsyntax-only", f"-I{ROOT}", str(source)]
    compile_with(arch.compiler, arguments)
    with pytest.raises(BuildFailed) as refused:
        compile_with(arch.compiler, [*options, *arguments])
    assert REFUSED in str(refused.value)


@pytest.mark.parametrize("options", [["-O0"], ["-O3"], ["-O2", "-fPIE"], ["-Os"], ["-g"]])
def test_the_core_compiles_with_other_options(
    arch: Architecture, tmp_path: Path, options: list[str]
) -> None:
    source, target = "pymmio/mmio/mapping.c", str(tmp_path / "mapping.o")
    compile_with(
        arch.compiler, ["-std=gnu11", *WARNINGS, *options, "-I.", "-c", source, "-o", target]
    )
