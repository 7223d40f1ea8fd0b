"""Where the guest finds what was built for it."""

from __future__ import annotations

EMULATOR_PLACE = "tests/s390x/libmio.so"
"""In the project: the library to preload (tests/arch/mio/README.md)."""
