"""Builds the C core: one shared object with one exception table (cffi, API mode, abi3)."""

from __future__ import annotations

from pathlib import Path

import cffi

ARCH = Path(__file__).resolve().parent
ROOT = ARCH.parent.parent

ffi = cffi.FFI()
ffi.cdef((ARCH / "core.cdef.h").read_text())
ffi.set_source(
    "pymmio.arch._core",
    """
    #include <sys/mman.h>
    #include "pymmio/arch/fault.h"
    #include "pymmio/arch/io.h"
    #include "pymmio/backend/served/words.h"
    #include "pymmio/mmio/doorbell.h"
    #include "pymmio/mmio/doorbell_setup.h"
    #include "pymmio/arch/persist.h"
    #include "pymmio/mmio/mapping.h"
    #include "pymmio/mmio/plain.h"
    """,
    sources=[
        "pymmio/arch/fault.c",
        "pymmio/backend/served/words.c",
        "pymmio/mmio/mapping.c",
        "pymmio/mmio/doorbell.c",
        "pymmio/mmio/plain.c",
        "pymmio/mmio/types.c",
    ],
    depends=sorted(str(p.relative_to(ROOT)) for p in (ROOT / "pymmio").rglob("*.h")),
    include_dirs=["."],
    define_macros=[("Py_LIMITED_API", "0x030b0000")],
    extra_compile_args=[
        "-std=gnu11",
        "-O2",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",
    ],
)

if __name__ == "__main__":
    ffi.compile(verbose=True)
