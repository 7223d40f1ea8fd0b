"""Run all benchmarks, or those that are named: ``python -m benchmarks region nvme``."""

from __future__ import annotations

import importlib
import sys

ALL = ("region", "nvme", "trace", "backends", "pmem", "virtqueue")

for name in sys.argv[1:] or ALL:
    importlib.import_module(f"benchmarks.{name}").main()
