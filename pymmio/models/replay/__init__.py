"""A device that does what a recording says: a session in the field becomes a unit test.

``sim:replay?file=session.jsonl&mode=strict`` plays what :class:`pymmio.trace.RecordingSink` wrote.
Strict: each access must be the recorded next one.  Tolerant: registers answer what they
answered at that time, whatever order the driver asks in.
"""

from pymmio.models.replay.model import ReplayModel

__all__ = ["ReplayModel"]
