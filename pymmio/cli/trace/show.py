"""``pymmio trace show``: a trace or recording for people, for programs, for Perfetto."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from pymmio.cli.options import json_option

if TYPE_CHECKING:
    from rich.text import Text

    from pymmio.trace import Event, RegisterNames
    from pymmio.trace.reading import TraceFile
    from pymmio.trace.summary import Summary

__all__ = ["show"]

KINDS = (
    "read", "write", "wait", "poll", "block", "map", "unmap", "memory", "irq", "irq-on", "irq-off",
    "unmask", "open", "close", "reset", "gone", "view",
)  # fmt: skip


@click.command(
    short_help="Show a trace with the names of registers.",
    epilog="""\b
Examples:
  pymmio trace show session.jsonl
  pymmio trace show session.jsonl --region bar0 --kind write
  pymmio trace show session.jsonl --stats
  pymmio trace show session.jsonl --json | jq '.summary.interrupts'
  pymmio trace show session.jsonl --perfetto trace.json
""",
)
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@click.option("--region", metavar="REGION", help="Accesses of this region only, such as bar0.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Events of this kind only."
)
@click.option(
    "--names/--no-names", "with_names", default=True, help="Names of registers and fields."
)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="The last N events only.")
@click.option("--stats", is_flag=True, help="No events, but how often and how long.")
@click.option(
    "--perfetto",
    metavar="OUT",
    type=click.Path(dir_okay=False),
    help="Write a file for https://ui.perfetto.dev instead.",
)
@json_option
def show(
    file: str,
    region: str | None,
    kinds: tuple[str, ...],
    with_names: bool,
    last: int | None,
    stats: bool,
    perfetto: str | None,
    as_json: bool,
) -> None:
    """Show the events of FILE, a trace (jsonl) or a recording, and what they amount to.

    Seconds count from the first event. Names come from the file, where the driver told them, else
    from the installed driver that takes such a device.
    """
    from pymmio.cli.output import note
    from pymmio.trace.reading import read
    from pymmio.trace.summary import summarise

    with open(file, "rb") as stream:
        found = read(stream, file)
    names = _names(found) if with_names else {}
    events = list(_chosen(found, region, kinds))
    summary = summarise(events, names)
    start_ns = found.events[0].time_ns if found.events else 0
    shown = events if last is None else events[-last:]
    if perfetto is not None:
        _write_perfetto(found, shown, names, perfetto)
        return
    if as_json:
        _print_json(found, () if stats else shown, names, summary)
        return
    if not stats:
        _print_events(shown, names, start_ns)
    _print_summary(found, summary)
    if found.lost:
        note(f"{found.lost} events more were lost to the limit")
    if not found.is_complete:
        note("the file has no end: the program was killed, or still runs")


def _names(found: TraceFile) -> Mapping[int, RegisterNames]:
    """Return the names in the file, else those of the driver that takes the device."""
    if any(index != _CONFIG for index in found.names):
        return found.names
    from pymmio.cli.trace.names import driver_names

    return {**driver_names(found.device), **found.names}


_CONFIG = 7


def _chosen(found: TraceFile, region: str | None, kinds: tuple[str, ...]) -> Iterator[Event]:
    from pymmio.trace import AccessEvent
    from pymmio.trace.names import region_label

    if region is not None:
        there = {one.name.lower() for one in found.device.regions}
        if region.lower() not in there:
            raise click.UsageError(f"--region {region}: the trace has {', '.join(sorted(there))}")
    for event in found.events:
        if kinds and event.kind not in kinds:
            continue
        if region is not None:
            if not isinstance(event, AccessEvent):
                continue
            if region_label(event.region).lower() != region.lower():
                continue
        yield event


def _text(event: Event, names: Mapping[int, RegisterNames]) -> str:
    from pymmio.trace import AccessEvent

    if isinstance(event, AccessEvent) and event.index is not None and event.index in names:
        return names[event.index].describe(event)
    return str(event)


def _print_events(
    events: Iterable[Event], names: Mapping[int, RegisterNames], start_ns: int
) -> None:
    from pymmio.cli.output import is_terminal, print_lines

    if is_terminal():
        print_lines(_styled(event, names, start_ns) for event in events)
        return
    for event in events:
        seconds = (event.time_ns - start_ns) / 1e9
        sys.stdout.write(f"{seconds:12.6f} {event.thread:>7} {_text(event, names)}\n")


def _styled(event: Event, names: Mapping[int, RegisterNames], start_ns: int) -> Text:
    from rich.text import Text

    line = Text(f"{(event.time_ns - start_ns) / 1e9:12.6f} {event.thread:>7} ", style="dim")
    style = {"write": "cyan", "irq": "magenta", "memory": "green"}.get(event.kind, "none")
    if getattr(event, "error", None):
        style = "red"
    line.append(Text(_text(event, names), style=style))
    return line


def _print_summary(found: TraceFile, summary: Summary) -> None:
    from pymmio.cli.output import print_plain, show_facts, show_table

    print_plain("")
    kinds = ", ".join(f"{count} {kind}" for kind, count in summary.kinds.most_common())
    events = f"{summary.events} in {summary.duration_ns / 1e9:.6f} s: {kinds}" if kinds else "none"
    name, uri = found.device.name, found.device.uri
    facts = [
        ("device", name if name == uri else f"{name} ({uri})"),
        ("opened", found.device.started),
        ("events", events),
        ("threads", str(summary.threads)),
    ]
    if summary.interrupts:
        counts = (f"{name} {count}" for name, count in summary.interrupts.items())
        facts.append(("interrupts", ", ".join(counts)))
    if summary.mapped_bytes:
        facts.append(("mapped at most", f"{summary.mapped_bytes:,} bytes"))
    if summary.memory_bytes:
        facts.append(("device wrote", f"{summary.memory_bytes:,} bytes"))
    show_facts(facts)
    if summary.registers:
        print_plain("")
        show_table(
            ("region", "offset", "register", "bits", "reads", "writes", "errors", "time"),
            [
                (
                    one.region,
                    f"{one.offset:#06x}",
                    one.name,
                    str(8 * one.width),
                    str(one.reads),
                    str(one.writes),
                    str(one.errors),
                    f"{one.time_ns / 1000:.1f} us",
                )
                for one in summary.registers
            ],
            right=("bits", "reads", "writes", "errors", "time"),
            fold=("register",),
        )


def _print_json(
    found: TraceFile,
    events: Iterable[Event],
    names: Mapping[int, RegisterNames],
    summary: Summary,
) -> None:
    import json

    from pymmio.cli.output import print_json
    from pymmio.trace import AccessEvent
    from pymmio.trace.lines import line_of

    shown = []
    for event in events:
        fields = json.loads(line_of(event))
        if isinstance(event, AccessEvent) and event.index is not None and event.index in names:
            table = names[event.index]
            fields["name"] = table.find(event.position, event.width)[0]
            if event.value is not None:
                fields["fields"] = table.fields_of(event.position, event.width, event.value)
        shown.append(fields)
    print_json(
        {
            "uri": found.device.uri,
            "name": found.device.name,
            "ids": dict(found.device.ids),
            "is_recording": found.is_recording,
            "is_complete": found.is_complete,
            "lost": found.lost,
            "events": shown,
            "summary": summary,
        }
    )


def _write_perfetto(
    found: TraceFile, events: Iterable[Event], names: Mapping[int, RegisterNames], path: str
) -> None:
    from pymmio.cli.output import note
    from pymmio.trace import PerfettoSink

    with PerfettoSink(path) as sink:
        sink.begin(found.device)
        for index, table in names.items():
            sink.name_registers(index, table)
        for event in events:
            sink.write(event)
    note(f"{path}: {sink.written} events; open it at https://ui.perfetto.dev")
