"""``python -m pymmio.cli`` is ``pymmio``."""

from __future__ import annotations

from pymmio.cli import main

if __name__ == "__main__":
    main()
