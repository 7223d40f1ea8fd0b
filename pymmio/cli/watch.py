"""The live view of ``pymmio regs --watch``: a table on a terminal, lines of changes elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pymmio.cli.output import is_terminal, print_plain

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from pymmio.regs import DumpedRegister, RegisterChange, RegisterDump

__all__ = ["watch"]

_FRESH_S = 3.0
"""How long a change stays marked."""


def watch(
    read: Callable[[], RegisterDump],
    *,
    interval_s: float,
    count: int | None,
    as_json: bool,
    pause: Callable[[float], object] | None = None,
) -> None:
    """Read again and again, every ``interval_s`` seconds, and show what changes.

    Ends after ``count`` readings, else with Ctrl-C, which is no error here.
    """
    wait = pause or threading.Event().wait
    view = _Lines(as_json) if as_json or not is_terminal() else _Table(interval_s)
    try:
        with view:
            done = 0
            while True:
                view.show(read())
                done += 1
                if done == count:
                    return
                wait(interval_s)
    except KeyboardInterrupt:
        return


class _View:
    """Something that shows one dump after the other."""

    def __init__(self) -> None:
        self._last: RegisterDump | None = None
        self._start_s = time.monotonic()

    def show(self, dump: RegisterDump) -> None:
        """Show a dump, and what changed since the last one."""
        from pymmio.regs import changes

        found = () if self._last is None else changes(self._last, dump)
        self._last = dump
        self.update(dump, found, time.monotonic() - self._start_s)

    def update(self, dump: RegisterDump, found: tuple[RegisterChange, ...], now_s: float) -> None:
        """Show what is given; ``now_s`` counts from the start."""
        raise NotImplementedError

    def __enter__(self) -> None:
        pass

    def __exit__(self, *details: object) -> None:
        pass


class _Lines(_View):
    """One line for each change, with its seconds since the start; as JSON one object a line."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def update(self, dump: RegisterDump, found: tuple[RegisterChange, ...], now_s: float) -> None:
        import json

        for change in found:
            if self._as_json:
                print_plain(json.dumps({"seconds": round(now_s, 3), **change.as_dict()}))
            else:
                print_plain(f"{now_s:10.3f}  {change}")


class _Table(_View):
    """A table that is drawn again and again; what changed is marked for some seconds."""

    def __init__(self, interval_s: float) -> None:
        super().__init__()
        from rich.live import Live

        from pymmio.cli.output import console

        self._interval_s = interval_s
        self._fresh: dict[tuple[int, str], tuple[float, RegisterChange]] = {}
        self._readings = self._changes = 0
        self._live = Live(console=console(), auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> None:
        self._live.__enter__()

    def __exit__(self, *details: object) -> None:
        self._live.__exit__(None, None, None)

    def update(self, dump: RegisterDump, found: tuple[RegisterChange, ...], now_s: float) -> None:
        self._readings += 1
        self._changes += len(found)
        for change in found:
            self._fresh[change.after.offset, change.name] = now_s, change
        self._live.update(self._drawn(dump, now_s), refresh=True)

    def _drawn(self, dump: RegisterDump, now_s: float) -> Group:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(dump.title, style="bold"), title_justify="left", box=box.ROUNDED)
        for name in ("offset", "register", "value"):
            table.add_column(name, no_wrap=True)
        table.add_column("fields that are not 0", overflow="fold", ratio=1)
        for one in dump.registers:
            at_s, change = self._fresh.get((one.offset, one.name), (-_FRESH_S, None))
            is_fresh = change is not None and now_s - at_s < _FRESH_S
            table.add_row(
                Text(f"0x{one.offset:04x}", style="dim"),
                Text(one.name),
                Text(one.hex, style="dim") if one.value is None else Text(one.hex),
                _fields(one, change if is_fresh else None),
                style=_MARK if is_fresh else "",
            )
        seen = f"{_count(self._readings, 'reading')}, {_count(self._changes, 'change')}"
        often = f"every {self._interval_s:g} s, Ctrl-C ends"
        return Group(table, Text(f"{seen} in {now_s:.1f} s; {often}", style="dim"))


_MARK = "bold yellow"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _fields(one: DumpedRegister, change: RegisterChange | None) -> Text:
    """Return the fields on one line: those that changed with what they were, and those not 0."""
    from rich.text import Text

    if one.not_read:
        return Text(f"not read: {one.not_read}", style="dim")
    changed = {field.name: field for field in change.fields} if change else {}
    shown = Text()
    for field in one.fields:
        if field.name in changed:
            before = changed[field.name].before
            shown.append(f"{field.name}={before}→{field.text} ", style="reverse")
        elif field.value:
            shown.append(f"{field.name}={field.text} ")
    shown.rstrip()
    return shown
