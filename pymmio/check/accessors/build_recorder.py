"""Build ``pymmio.check.accessors._recorder``: fault recorder, tearing, specimens (cffi, abi3)."""

from __future__ import annotations

from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FOLDER = HERE.relative_to(ROOT)

ffi = cffi.FFI()
ffi.cdef((HERE / "recorder.cdef.h").read_text())
ffi.set_source(
    "pymmio.check.accessors._recorder",
    """
    #include <sys/mman.h>
    #include "pymmio/check/accessors/recorder.h"
    #include "pymmio/check/accessors/specimens.h"
    #include "pymmio/check/accessors/tearing.h"
    """,
    sources=[str(FOLDER / name) for name in ("recorder.c", "specimens.c", "tearing.c")],
    depends=sorted(str(path.relative_to(ROOT)) for path in HERE.glob("*.h")),
    include_dirs=["."],
    define_macros=[("Py_LIMITED_API", "0x030b0000")],
    # Specimens are what -O2 makes of them, whatever Python itself was built with.
    extra_compile_args=[
        *("-std=gnu11", "-O2", "-fno-tree-vectorize", "-fvisibility=hidden", "-pthread"),
        *("-Wall", "-Wextra"),
    ],
)

if __name__ == "__main__":
    ffi.compile(verbose=True)
