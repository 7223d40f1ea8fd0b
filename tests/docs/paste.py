"""Put what a command printed into the README, in place of what stands there.

``make demo | python -m tests.docs.paste demo``, ``make test | python -m tests.docs.paste test``.
"""

from __future__ import annotations

import re
import sys

from tests.docs.pages import README


def pasted(readme: str, name: str, output: str) -> str:
    r"""Return ``readme`` with the output, indented, between the marks of ``name``.

    >>> pasted("a\n<!-- demo -->\nold\n<!-- end -->\nb\n", "demo", "new\n")
    'a\n<!-- demo -->\n\n    new\n\n<!-- end -->\nb\n'

    Of a run of the tests only the table at its end is taken, and only if every tier passed.
    """
    if name == "test":
        output = output[output.rindex("tier ") :].partition("\nmake")[0]
        if "failed" in output or "skipped" in output:
            raise SystemExit("not every tier passed: nothing was pasted")
    shown = "".join(f"    {line}".rstrip() + "\n" for line in output.splitlines())
    before, mark, rest = readme.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    if not mark or not end:
        raise SystemExit(f"README.md has no place for {name}")
    return re.sub(r"\n{3,}", "\n\n", f"{before}{mark}\n{shown}\n{end}{after}")


if __name__ == "__main__":
    README.write_text(
        pasted(README.read_text(encoding="utf-8"), sys.argv[1], sys.stdin.read()), encoding="utf-8"
    )
