"""Functions that the tests name as module:function; they run in the worker."""

from __future__ import annotations

import ctypes
import os
import threading


def peek(view: memoryview, offset: int, width: int) -> int:
    """One access, as CPython's memoryview makes it."""
    return view.cast({1: "B", 2: "H", 4: "I", 8: "Q"}[width])[offset // width]


def byte_wise(view: memoryview, offset: int, width: int) -> bytes:
    return bytes([view[offset + i] for i in range(width)])


def twice(view: memoryview, offset: int, width: int) -> int:
    peek(view, offset, width)
    return peek(view, offset, width)


def silent(view: memoryview, offset: int, width: int) -> None:
    peek(view, offset, width)


def reads_nothing(view: memoryview, offset: int, width: int) -> int:
    return 0


def noisy(view: memoryview, offset: int, width: int) -> int:
    print("hello")
    print('{"not": "ours"}')
    return peek(view, offset, width)


def dies(view: memoryview, offset: int, width: int) -> int:
    return ctypes.string_at(0)[0]


def aborts(view: memoryview, offset: int, width: int) -> int:
    os.abort()


def hangs(view: memoryview, offset: int, width: int) -> None:
    threading.Event().wait()


def raises(view: memoryview, offset: int, width: int) -> None:
    raise RuntimeError("out of order")


def leaves(view: memoryview, offset: int, width: int) -> None:
    os._exit(3)


def through_the_kernel(view: memoryview, offset: int, width: int) -> int:
    """Let a system call read the memory: no instruction of this process touches it."""
    readable, writable = os.pipe()
    try:
        os.write(writable, view[offset : offset + width])
        return len(os.read(readable, width))
    finally:
        os.close(readable)
        os.close(writable)


def poke(view: memoryview, offset: int, width: int, value: int) -> None:
    view.cast({1: "B", 2: "H", 4: "I", 8: "Q"}[width])[offset // width] = value


def poke_after_reading(view: memoryview, offset: int, width: int, value: int) -> None:
    peek(view, offset, width)
    poke(view, offset, width, value)
