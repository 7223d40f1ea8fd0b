"""Ask a device for the contract of backends: ``python -m pymmio.testing.contract URI``."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

from pymmio.errors import PymmioError
from pymmio.testing.contract import (
    Ability,
    Group,
    Outcome,
    Subject,
    Verdict,
    checks,
    examine,
)
from pymmio.testing.contract.devices import DEVICES

_BAD = (Outcome.BROKEN, Outcome.HOLDS)


def main(arguments: list[str] | None = None) -> int:
    """Ask and print a table; return 1 if something is not as said, 2 if nothing could be asked."""
    parser = argparse.ArgumentParser(
        prog="python -m pymmio.testing.contract",
        description="Ask the device URI for the contract of backends. Ends with 1 if a promise is"
        " broken, or kept though it was said to be lacking; with 2 if nothing could be asked.",
    )
    parser.add_argument("uri", help="the device; what is on it is lost")
    parser.add_argument("--device", default="", choices=DEVICES, help="its kind")
    parser.add_argument("--other", help="a second one, for one address space")
    parser.add_argument(
        "--group",
        action="append",
        choices=[str(group) for group in Group],
        metavar="GROUP",
        help="ask this group only, may be repeated: " + ", ".join(Group),
    )
    parser.add_argument(
        "--lacks",
        action="append",
        default=[],
        type=_lack,
        metavar="NAME=REASON",
        help="what it cannot promise and why, may be repeated: a promise, or all that need one of "
        + ", ".join(Ability),
    )
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies deadlines")
    parser.add_argument("--json", action="store_true", help="one object for each promise")
    given = parser.parse_args(arguments)
    try:
        subject = Subject(
            given.uri,
            given.device,
            lacks=dict(given.lacks),
            other=given.other,
            patience=given.patience,
        )
        subject.open().close()
    except PymmioError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    wanted = [c for c in checks(subject.device) if not given.group or c.group in given.group]
    asked = {name for check in wanted for name in (check.name, *check.needs)}
    if idle := [name for name, _ in given.lacks if name not in asked]:
        print(f"--lacks {idle[0]}: nothing that is asked here needs it", file=sys.stderr)
        return 2
    verdicts = examine(subject, wanted)
    (_print_json if given.json else _print_table)(verdicts)
    return int(any(verdict.outcome in _BAD for verdict in verdicts))


def _lack(text: str) -> tuple[str, str]:
    name, _, reason = (part.strip() for part in text.partition("="))
    if not name or not reason:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=REASON")
    if name not in {*Ability, *(check.name for check in checks())}:
        raise argparse.ArgumentTypeError(f"no ability is called {name!r}, and no promise (--json)")
    return name, reason


def _print_json(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        print(
            json.dumps(
                {
                    "group": verdict.check.group,
                    "promise": verdict.check.name,
                    "outcome": verdict.outcome,
                    "detail": verdict.detail,
                }
            )
        )


def _print_table(verdicts: list[Verdict]) -> None:
    came = {verdict.outcome for verdict in verdicts}
    always = (Outcome.KEPT, Outcome.BROKEN, Outcome.NOT_ASKED)
    shown = [outcome for outcome in Outcome if outcome in always or outcome in came]
    print(f"{'':<20}" + "".join(f"{outcome:>11}" for outcome in shown))
    for group in Group:
        counts = Counter(v.outcome for v in verdicts if v.check.group is group)
        if counts:
            print(f"{group:<20}" + "".join(f"{counts[outcome] or '.':>11}" for outcome in shown))
    for verdict in verdicts:
        if verdict.outcome in _BAD:
            print(f"\n{verdict.check.name}: {verdict.outcome}")
            print(f"  {verdict.check.promise}\n  {verdict.detail}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
