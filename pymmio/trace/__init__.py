"""Traces of what a program does to its device, and what the device does to it.

Tracing costs nothing when it is off: a traced device hands out other region objects
(:class:`pymmio.mmio.TracedRegion`) that report each access to a sink.
"""

from pymmio.trace.events import AccessEvent, DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from pymmio.trace.everywhere import every_device
from pymmio.trace.facts import DeviceFacts, RegionFacts
from pymmio.trace.files import JsonLinesSink, RecordingSink
from pymmio.trace.names import FieldName, RegisterName, RegisterNames
from pymmio.trace.perfetto import PerfettoSink
from pymmio.trace.reading import TraceFile, read_trace
from pymmio.trace.sinks import EventRing, EventSink, RingSink, Sink, TextSink

__all__ = [
    "AccessEvent",
    "DeviceFacts",
    "DmaEvent",
    "Event",
    "EventRing",
    "EventSink",
    "FieldName",
    "IrqEvent",
    "JsonLinesSink",
    "LifeEvent",
    "MemoryEvent",
    "PerfettoSink",
    "RecordingSink",
    "RegionFacts",
    "RegisterName",
    "RegisterNames",
    "RingSink",
    "Sink",
    "TextSink",
    "TraceFile",
    "every_device",
    "read_trace",
]
