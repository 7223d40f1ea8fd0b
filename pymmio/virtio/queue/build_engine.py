"""Build ``pymmio.virtio.queue._engine``, the virtqueue engine in C (cffi API mode, abi3)."""

from __future__ import annotations

from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

ffi = cffi.FFI()
ffi.cdef((HERE / "engine.cdef.h").read_text())
ffi.set_source(
    "pymmio.virtio.queue._engine",
    """
    #include <stddef.h>
    #include <stdint.h>
    #include "pymmio/virtio/queue/engine.cdef.h"
    """,
    sources=["pymmio/virtio/queue/engine.c"],
    depends=[str(p.relative_to(ROOT)) for p in sorted((ROOT / "pymmio").rglob("*.h"))],
    include_dirs=["."],
    define_macros=[("Py_LIMITED_API", "0x030b0000"), ("_GNU_SOURCE", None)],
    extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
)

if __name__ == "__main__":
    ffi.compile(verbose=True)
