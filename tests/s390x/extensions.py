"""The C extensions for s390x, built once for each state of their sources."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.arch.architectures import ARCHITECTURES
from tests.arch.build import BUILDERS, EMULATOR, ROOT, build_emulator, build_extension, extension
from tests.guest.cache import cache_root, locked, publish, work_folder
from tests.s390x.place import EMULATOR_PLACE

NAME = "extensions-s390x"
S390X = ARCHITECTURES["s390x"]
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
                places = {EMULATOR_PLACE: build_emulator(S390X, work)}
                for part in BUILDERS:
                    built = build_extension(S390X, part, work)
                    places[extension(part, work).place] = built
                for place, built in places.items():
                    (result / place).parent.mkdir(parents=True, exist_ok=True)
                    built.rename(result / place)
                publish(result, name)
    return {str(file.relative_to(folder)): file for file in folder.rglob("*.so")}


def _digest_of_sources() -> str:
    """Return a hash of all that the builders read."""
    digest = hashlib.sha256()
    sources = [
        Path("tests/arch/build.py"),
        Path("tests/s390x/extensions.py"),
        *map(Path, BUILDERS.values()),
    ]
    for folder in (ROOT / "pymmio", ROOT / "drivers", EMULATOR):
        for pattern in ("*.c", "*.h"):
            sources += [path.relative_to(ROOT) for path in folder.rglob(pattern)]
    for source in sorted(sources):
        digest.update(f"{source}\n".encode())
        digest.update((ROOT / source).read_bytes())
    return digest.hexdigest()[:16]
