"""What this machine offers for user-space drivers, and what is missing.

>>> from pymmio.doctor import examine
>>> report = examine(topics=["processor"])
>>> [finding.name for finding in report]
['architecture', 'MMIO', 'fault handler', 'cache write-back']
"""

from __future__ import annotations

from pymmio.doctor.examine import PROBES, Probe, check, examine
from pymmio.doctor.finding import Finding, Report, State
from pymmio.doctor.host import Host

__all__ = ["PROBES", "Finding", "Host", "Probe", "Report", "State", "check", "examine"]
