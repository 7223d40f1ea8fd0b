"""The page of messages: what a user reads in each situation, by each interface.

``python -m tests.guest.messages`` boots the guests, lets each situation happen by real VFIO, and
writes ``docs/reference/vfio-messages.rst``.  In test runs the cases compare with that page.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.guest.inside import SHARE

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "vfio-messages.rst"
MODULE = "tests.guest.cases.case_vfio_messages"
RECORDS = "messages.jsonl"
COLUMNS = ("group", "cdev")
SHARED_COLUMN = "both"
WORKS = "works"

_HEAD = """\
What VFIO refuses, word for word
================================

Each message below was raised by real VFIO in a QEMU guest and written down by
``python -m tests.guest.messages``; the same cases run in the tests and compare with this page.
Numbers of processes and the kernel's release are made the same. Which interface is meant when,
and what stands behind the refusals: :doc:`vfio`.

.. list-table::
   :header-rows: 1
   :widths: 20 40 40
   :class: pm-messages

   * - Situation
     - ``interface=group``
     - ``interface=cdev``
"""


@dataclass(frozen=True)
class Message:
    """What was shown in a situation by an interface; WORKS where nothing was refused."""

    situation: str
    interface: str
    text: str


def said(error: BaseException) -> str:
    """Return an exception as it is shown, without what differs from run to run."""
    text = f"{type(error).__name__}: {error}"
    text = re.sub(r"process \d+ \([^)]*\)", "process 4321 (python)", text)
    return re.sub(r"Linux \d+\.\d+\.[^\s)]*", "Linux 6.12", text)


def let_users_tell() -> None:
    """Let a process without root call ``tell``; root calls this before."""
    records = SHARE / RECORDS
    records.touch()
    records.chmod(0o666)


def tell(situation: str, interface: str, text: str) -> None:
    """Write a message down, in a guest, and compare it with the page."""
    message = Message(situation, interface, text)
    with (SHARE / RECORDS).open("a") as records:
        records.write(json.dumps(asdict(message)) + "\n")
    page = PAGE.read_text() if PAGE.exists() else ""
    for part in (situation, text):
        assert _escaped(part) in page, (
            f"{PAGE.name} does not have this; if it is meant: python -m tests.guest.messages\n"
            f"{situation} ({interface}): {text}"
        )


def render(messages: list[Message], order: list[str]) -> str:
    """Return the page; situations in ``order``, those that are none of it at the end."""
    table: dict[str, dict[str, str]] = {situation: {} for situation in order}
    for message in messages:
        table.setdefault(message.situation, {})[message.interface] = message.text
    rows = []
    for situation, texts in table.items():
        if not texts:
            continue
        rows.append(f"   * - {_escaped(situation)}")
        cells = [texts.get(column) or texts[SHARED_COLUMN] for column in COLUMNS]
        is_twice = cells[1:] == cells[:1] and cells[0] != WORKS
        rows.append(f"     - {_escaped(cells[0])}")
        rows.append(f"     - {'the same' if is_twice else _escaped(cells[1])}")
    return _HEAD + "\n".join(rows) + "\n"


def _escaped(text: str) -> str:
    """Escape what means something in reStructuredText, and what Sphinx would make nicer."""
    return re.sub(r"([\\*`|_\"'])", r"\\\1", text).replace("--", r"\-\-").replace("...", r"\...")


def main() -> int:
    """Boot each guest that has situations, and write the page."""
    import importlib

    from tests.guest.case import CaseCall, call_of, options_of
    from tests.guest.guest import run
    from tests.guest.guests import GUESTS

    module = importlib.import_module(MODULE)
    calls: dict[str, list[CaseCall]] = {}
    functions: Iterator[Callable[..., None]] = (
        value for name, value in vars(module).items() if name.startswith("case_")
    )
    for function in functions:
        options = options_of(function)
        for guest in options.guests:
            for param in options.params or (None,):
                calls.setdefault(guest, []).append(call_of(function, param))
    messages: list[Message] = []
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for guest, wanted in calls.items():
            outcome = run(GUESTS[guest], wanted, Path(folder) / guest)
            lines = (outcome.share / RECORDS).read_text().splitlines()
            messages += [Message(**json.loads(line)) for line in lines]
            failed += [
                result
                for result in outcome.results.values()
                if result.outcome != "passed" and PAGE.name not in result.detail
            ]
    for result in failed:
        print(result.id, result.detail, sep="\n", file=sys.stderr)
    if not failed:
        PAGE.write_text(render(messages, module.SITUATIONS))
        print(PAGE)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
