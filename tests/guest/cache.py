"""Keep what is expensive to make, once per user, safe against parallel makers."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """Return the folder that holds kernels and logs; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pymmio" / "guest"


@contextmanager
def locked(
    name: str, timeout_s: float, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock ``name``; the kernel drops it when the holder dies.

    ``on_wait`` is called once if somebody else holds it.
    Raises TimeoutError when somebody else holds it for longer than ``timeout_s``.
    """
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{name}.lock"
    deadline = time.monotonic() + timeout_s
    with path.open("a") as lock:
        is_waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not is_waiting:
                    is_waiting = True
                    on_wait()
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{path} was held by another process for {timeout_s:.0f} s"
                    ) from None
                select.select([], [], [], 0.2)
        yield


@contextmanager
def work_folder(prefix: str) -> Iterator[Path]:
    """Yield a fresh folder inside the cache, so that a rename out of it is atomic; then delete it.

    Call with the lock held: folders that killed makers left behind are removed first.
    """
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    for left_behind in root.glob(f".{prefix}-*"):
        shutil.rmtree(left_behind, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{prefix}-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, name: str) -> Path:
    """Rename ``folder`` to ``name`` in the cache; an older one of that name is replaced."""
    target = cache_root() / name
    if target.exists():
        shutil.rmtree(target)
    folder.rename(target)
    return target


def fragment_path(arch: str) -> Path:
    """Return the kernel configuration fragment of ``arch``."""
    return Path(__file__).with_name(f"{arch}.fragment")


def digest(text: str) -> str:
    """Return the short hash under which things made from ``text`` are kept."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_kernel(arch: str) -> Path | None:
    """Return the newest kernel image built from the present fragment, None if there is none.

    Its source version is not asked for: a test run works offline and is not rebuilt whenever the
    distribution moves on.
    """
    wanted = digest(fragment_path(arch).read_text())
    images = []
    for record in cache_root().glob(f"kernel-{arch}-*/build.json"):
        facts = json.loads(record.read_text())
        if facts["fragment"] == wanted:
            images.append((record.stat().st_mtime, record.parent / facts["image"]))
    return max(images)[1] if images else None
