"""Bad input: what every region answers, on every architecture and in every way of access.

``table`` has the rows, ``benches`` regions over files and models: tests/unit/test_refusals.py runs
them on this machine, tests/arch and tests/bigendian for other processors.  ``devices`` are regions
of real devices, for the cases of tests/guest and tests/s390x.
"""

from __future__ import annotations
