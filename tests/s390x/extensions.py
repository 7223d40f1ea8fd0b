"""The C extensions for s390x, built once for each state of their sources."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.arch.architectures import ARCHITECTURES
from tests.arch.build import BUILDERS, ROOT, build_extension
from tests.guest.cache import cache_root, locked, publish, work_folder

NAME = "extensions-s390x"
PLACES = {
    "core": "pymmio/arch/_core.abi3.so",
    "engine": "drivers/pymmio_drivers/nvme/_engine.abi3.so",
}
BUILD_TIMEOUT_S = 300.0


def ensure_extensions() -> dict[str, Path]:
    """Return the shared objects by their place in the project, built if the cache lacks them.

    Raises tests.arch.build.BuildFailed.
    """
    name = f"{NAME}-{_digest_of_sources()}"
    with locked(NAME, BUILD_TIMEOUT_S):
        folder = cache_root() / name
        if not folder.exists():
            for outdated in cache_root().glob(f"{NAME}-*"):
                publish(outdated, f".{NAME}-outdated")
            with work_folder(NAME) as work:
                result = work / "result"
                result.mkdir()
                for extension in BUILDERS:
                    built = build_extension(ARCHITECTURES["s390x"], extension, work)
                    built.rename(result / f"{extension}.so")
                publish(result, name)
    return {place: folder / f"{extension}.so" for extension, place in PLACES.items()}


def _digest_of_sources() -> str:
    """Return a hash of all that the builders read."""
    digest = hashlib.sha256()
    sources = [Path("tests/arch/build.py"), *map(Path, BUILDERS.values())]
    for pattern in ("*.c", "*.h"):
        for folder in ("pymmio", "drivers"):
            sources += [path.relative_to(ROOT) for path in (ROOT / folder).rglob(pattern)]
    for source in sorted(sources):
        digest.update(f"{source}\n".encode())
        digest.update((ROOT / source).read_bytes())
    return digest.hexdigest()[:16]
