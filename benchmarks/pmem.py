"""Persistent memory: copies against libpmem and memcpy, and what flushes cost.

Each subject copies to shared memory of its own, to one place after the other, so that the caches
hold little of it: there is no persistent memory here, but the instructions are those for it.
libpmem (Debian's libpmem1) is called through ctypes, as memcpy is; each call of pymmio checks
bounds and faults.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import itertools
import mmap
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.timing import turns
from pymmio.dax import Durability, PlainMemory, write_back_name
from pymmio.models.virtio.pmem import VirtioPmemModel
from pymmio.testing import open_model
from pymmio_drivers.virtio_pmem import VirtioPmem

AREA = 32 << 20
SIZES = {"4 KiB": 4096, "64 KiB": 65536, "16 MiB": 16 << 20}
BYTES_A_TURN = 4 << 20
ROUNDS = 41
THREADS, CALLS = 64, 20
FLUSHES = 300


def main() -> None:
    """Print the ratios."""
    _copies()
    _shared_flushes()
    _flush_latency()


def _libpmem() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("pmem")
    if name is None:
        print("libpmem is missing (Debian: libpmem1): left out")
        return None
    library = ctypes.CDLL(name)
    library.pmem_memcpy_persist.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    return library


def _area() -> tuple[PlainMemory, int]:
    """Return shared memory that is there in whole, and its address."""
    fd = os.memfd_create("area")
    os.ftruncate(fd, AREA)
    area = mmap.mmap(fd, AREA)
    os.close(fd)
    for at in range(0, AREA, mmap.PAGESIZE):
        area[at] = 1
    memory = PlainMemory(area, name="area", durability=Durability.WRITE_BACK)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(area))


def _copies() -> None:
    libpmem = _libpmem()
    (plain, _), (past_caches, _), (then_persist, _) = _area(), _area(), _area()
    (kept, for_memcpy), (also_kept, for_libpmem) = _area(), _area()
    print(f"\npersistent copies, written back by {write_back_name()}  (of {ROUNDS} turns)")
    for title, size in SIZES.items():
        data = os.urandom(size)
        count = max(1, BYTES_A_TURN // size)

        def repeated(copy: Callable[[int, bytes], object], count=count, size=size, data=data):
            places = itertools.cycle(range(0, AREA, size))

            def run() -> None:
                for _, place in zip(range(count), places):
                    copy(place, data)

            return run

        def both(place: int, data: bytes) -> None:
            then_persist.write_from(place, data)
            then_persist.persist(place, len(data))

        def past(place: int, data: bytes) -> None:
            past_caches.write_from(place, data, nocache=True)

        copies: dict[str, Callable[[int, bytes], object]] = {
            "memcpy (ctypes)": lambda at, data: ctypes.memmove(for_memcpy + at, data, len(data)),
            "write_from": plain.write_from,
            "write_from nocache": past,
            "write_from + persist": both,
        }
        if libpmem is not None:
            persist = libpmem.pmem_memcpy_persist
            copies["libpmem"] = lambda at, data, to=persist: to(for_libpmem + at, data, len(data))
        times = turns({name: repeated(copy) for name, copy in copies.items()}, rounds=ROUNDS)
        medians = {name: statistics.median(seen) / count for name, seen in times.items()}
        _print(title, size, medians)
    kept.close()
    also_kept.close()


def _print(title: str, size: int, medians: Mapping[str, float]) -> None:
    base = "libpmem" if "libpmem" in medians else "memcpy (ctypes)"
    print(f"  {title}")
    for name, seconds in medians.items():
        ratio = seconds / medians[base]
        rate = size / seconds / 1e9
        print(f"    {name:<21} {seconds * 1e6:9.2f} us {rate:6.2f} GB/s {ratio:6.2f} x {base}")


def _shared_flushes() -> None:
    """Let many threads flush at once, and some while one flush runs."""
    model = VirtioPmemModel(size="1M")
    with VirtioPmem.open(open_model(model)) as pmem:

        def flush() -> None:
            for _ in range(CALLS):
                pmem.flush()

        spent = _in_threads(flush)
        print(f"\n{THREADS} threads that flush {CALLS} times each, on the model")
        calls, made = THREADS * CALLS, pmem.device_flushes
        print(f"  {calls} calls, {made} flushes of the device: {calls / made:.1f} calls a flush")
        print(f"  {calls / spent:.0f} calls a second")
        before = pmem.device_flushes
        model.is_holding = True
        first = pmem.flush_async()
        later = [pmem.flush_async() for _ in range(THREADS)]
        model.is_holding = False
        model.release()
        for future in (first, *later):
            future.result(30.0)
        made = pmem.device_flushes - before - 1
        print(f"  {THREADS} calls while one runs: {made} flush of the device beside that one")


def _in_threads(run: Callable[[], None]) -> float:
    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def _flush_latency() -> None:
    """Compare a flush through QEMU with what the host does for it."""
    if shutil.which("qemu-system-x86_64") is None:
        print("\nqemu-system-x86_64 is missing: no flushes through QEMU")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "memory")
        peer = Path(folder, "peer")
        peer.write_bytes(bytes(1 << 20))
        page = os.urandom(4096)
        with (
            VirtioPmem.open(f"qemu:virtio-pmem-pci?memory={path}&size=64M") as pmem,
            peer.open("r+b") as file,
            mmap.mmap(file.fileno(), 1 << 20) as mapped,
        ):
            places = itertools.cycle(range(0, 1 << 20, 4096))

            def through_qemu() -> None:
                pmem.write(next(places), page)
                pmem.flush()

            def on_the_host() -> None:
                at = next(places)
                mapped[at : at + 4096] = page
                os.fsync(file.fileno())

            seen = turns({"fsync": on_the_host, "flush": through_qemu}, rounds=FLUSHES)
    print(f"\n4 KiB written and made durable on {folder}  ({FLUSHES} turns)")
    base = statistics.median(seen["fsync"])
    for name, times in seen.items():
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        where = "virtio-pmem of QEMU" if name == "flush" else "the host alone"
        print(
            f"  {name:<5} {where:<20} p50 {p50 * 1e6:8.0f} us  p99 {p99 * 1e6:8.0f} us"
            f"  {p50 / base:5.2f} x fsync"
        )


if __name__ == "__main__":
    main()
