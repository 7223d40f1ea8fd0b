"""read32 and write32 of a mapped region against what people use instead.

The peers check nothing, guarantee no width and turn no fault into an exception.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import tempfile

from benchmarks.timing import Subject, interleaved, table
from pymmio.mmio import MappedRegion, Mapping

CALLS = 200_000


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), 4096)
        memory = mmap.mmap(file.fileno(), 4096)
        bar = MappedRegion(Mapping.of_file(file.fileno(), 0, 4096, "BAR0", writable=True))
        words = memoryview(memory).cast("I")
        number = ctypes.c_uint32.from_buffer(memory, 8)
        form = struct.Struct("<I")
        reads = {
            "memoryview": Subject("words[2]", {"words": words}),
            "pymmio": Subject("bar.read32(8)", {"bar": bar}),
            "ctypes": Subject("number.value", {"number": number}),
            "struct": Subject("unpack(memory, 8)[0]", _named(unpack=form.unpack_from, m=memory)),
        }
        writes = {
            "memoryview": Subject("words[2] = 7", {"words": words}),
            "pymmio": Subject("bar.write32(8, 7)", {"bar": bar}),
            "ctypes": Subject("number.value = 7", {"number": number}),
            "struct": Subject("pack(memory, 8, 7)", _named(pack=form.pack_into, m=memory)),
        }
        try:
            import numpy
        except ImportError:
            print("numpy is missing: left out")
        else:
            array = numpy.frombuffer(memory, dtype="<u4")
            reads["numpy"] = Subject("array[2]", {"array": array})
            reads["int(numpy)"] = Subject("int(array[2])", {"array": array})
            writes["numpy"] = Subject("array[2] = 7", {"array": array})
        try:
            import periphery
        except ImportError:
            print("python-periphery is missing: left out")
        else:
            mmio = periphery.MMIO(0, 4096, path=f"/proc/self/fd/{file.fileno()}")
            reads["python-periphery"] = Subject("mmio.read32(8)", {"mmio": mmio})
            writes["python-periphery"] = Subject("mmio.write32(8, 7)", {"mmio": mmio})
        table("read of 32 bits", interleaved(reads, calls=CALLS), "memoryview")
        table("write of 32 bits", interleaved(writes, calls=CALLS), "memoryview")


def _named(m: mmap.mmap, **names: object) -> dict[str, object]:
    return {"memory": m, **names}


if __name__ == "__main__":
    main()
