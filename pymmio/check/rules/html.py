"""Reports of rule conformance as one page that needs nothing from outside."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from html import escape

from pymmio.check.rules.report import Matrix, matrices, pieces
from pymmio.check.rules.runner import Case, Report, Verdict
from pymmio.check.rules.table import CELL_SIZE, WIDTHS

__all__ = ["page"]

# Colours by Okabe and Ito, told apart without red and green; each has a sign of its own, too.
_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --soft: #57606a; --page: #ffffff;
  --line: #d0d7de; --kept: #d6e9f8; --refused: #eceff2; --open: #fdf1c7; --broken: #d55e00;
  --broken-text: #ffffff; --edge: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9aa4af; --page: #0d1117;
  --line: #373e47; --kept: #123a5a; --refused: #21262d; --open: #4a3d0c; --broken: #e8762c;
  --broken-text: #14100c; --edge: #56b4e9; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { margin: 2.5rem 0 .25rem; font-size: 1.25rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .35rem; } a { color: var(--edge); }
p, ul { margin: .35rem 0; } .soft, .sources { color: var(--soft); }
.sources { font-size: .9rem; padding-left: 1.2rem; } .scroll { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 2px; }
.matrix { font: 12px/1.25 ui-monospace, monospace; table-layout: fixed; min-width: 62rem;
  width: 100%; }
.matrix td, .matrix th { text-align: center; height: 2.1rem; padding: 0; border-radius: 3px; }
.matrix th { color: var(--soft); font-weight: 500; height: 1.4rem; }
.matrix th:first-child { width: 4.2rem; text-align: right; padding-right: .5rem; }
.kept { background: var(--kept); } .refused { background: var(--refused); color: var(--soft); }
.open { background: var(--open); }
.broken { background: var(--broken); color: var(--broken-text); font-weight: 700; }
.broken small { font-weight: 400; display: block; font-size: 10px; }
.key { list-style: none; padding: 0; margin-top: 1rem; }
.key span { display: inline-block; min-width: 3rem; text-align: center; border-radius: 3px;
  margin: 1px .75rem 1px 0; font: 12px/1.6 ui-monospace, monospace; }
.rules td, .rules th { text-align: left; padding: .15rem .8rem .15rem 0; }
.rules .number { text-align: right; } .sign { font-weight: 700; }
.verdict { border-radius: 3px; padding: 0 .5rem; display: inline-block; min-width: 5rem; }
details { margin-top: .5rem; } code { font-size: .92em; }
"""

_KEY = """
<ul class="key">
<li><span class="kept">421</span>accesses of 4, 2 and 1 bytes, as it must be; <code>1*8</code> are
eight of 1 byte, <code>44r</code> goes from the high address down</li>
<li><span class="refused">&ndash;</span>refused, as it must be or may be</li>
<li><span class="open">&asymp; 44</span>right in any pieces that are these bytes</li>
<li><span class="broken">&#10007; 8</span>broken; what the rule wants stands below in small</li>
</ul><p class="soft">Point at a field for its addresses.</p>
"""


def page(reports: Sequence[Report], *, device: str) -> str:
    """Return the page of all ``reports`` on ``device``."""
    body = "\n".join(_body(reports, device))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Access rules: {escape(device)}</title><style>{_STYLE}</style></head>"
        f"<body>\n{body}\n</body></html>\n"
    )


def _body(reports: Sequence[Report], device: str) -> Iterator[str]:
    broken = sum(report.verdict is Verdict.BROKEN for report in reports)
    yield f"<h1>Access rules: {escape(device)}</h1>"
    yield (
        f'<p class="soft">{len(reports)} rules, {broken} broken; {escape(platform.machine())}, '
        f"Linux {escape(platform.release())}</p>"
    )
    yield '<table class="rules"><tr><th>rule</th><th>subject</th><th>verdict</th>'
    yield '<th class="number">accesses</th><th class="number">broken</th></tr>'
    for report in reports:
        yield (
            f'<tr><td><a href="#{report.preset.name}">{escape(report.preset.title)}</a></td>'
            f"<td>{escape(report.subject)}</td><td>{_verdict(report)}</td>"
            f'<td class="number">{len(report.cases)}</td>'
            f'<td class="number">{len(report.broken)}</td></tr>'
        )
    yield f"</table>{_KEY}"
    for report in reports:
        yield from _section(report)


def _verdict(report: Report) -> str:
    is_kept = report.verdict is Verdict.KEPT
    sign, kind = ("&#10003;", "kept") if is_kept else ("&#10007;", "broken")
    return (
        f'<span class="verdict {kind}"><span class="sign">{sign}</span> '
        f"{report.verdict.value}</span>"
    )


def _section(report: Report) -> Iterator[str]:
    preset = report.preset
    yield f'<section id="{preset.name}"><h2>{escape(preset.title)} {_verdict(report)}</h2>'
    yield f'<p class="soft"><code>{preset.name}</code>, subject: {escape(report.subject)}</p>'
    yield '<ul class="sources">'
    for source in preset.sources:
        yield f"<li><b>{escape(source.where)}</b>: {escape(source.says)}</li>"
    yield "</ul>"
    if preset.notes:
        yield f"<p>{escape(preset.notes)}</p>"
    missing = [str(width) for width in WIDTHS if width not in report.widths]
    if missing:
        yield f'<p class="soft">Not asked for: widths {", ".join(missing)}.</p>'
    for matrix in matrices(report):
        yield from _matrix(matrix, report.widths)
    if report.broken:
        yield f"<details><summary>All {len(report.broken)} faults</summary><ul>"
        yield from (f"<li><code>{escape(str(case))}</code></li>" for case in report.broken)
        yield "</ul></details>"
    yield "</section>"


def _matrix(matrix: Matrix, widths: Sequence[int]) -> Iterator[str]:
    yield f"<h3>{escape(matrix.title)}</h3>"
    yield '<div class="scroll"><table class="matrix"><tr><th scope="col">bytes</th>'
    yield "".join(f'<th scope="col">+{offset}</th>' for offset in range(CELL_SIZE)) + "</tr>"
    for width in widths:
        fields = "".join(_field(matrix.cases[width, offset]) for offset in range(CELL_SIZE))
        yield f'<tr><th scope="row">{width}</th>{fields}</tr>'
    yield "</table></div>"


def _field(case: Case) -> str:
    seen = pieces(case)
    saw = ", ".join(str(access) for access in case.seen) or case.error or "nothing"
    title = escape(
        f"{case.direction} of {case.width} at {case.offset:#x}\n"
        f"rule: {case.expected.text}\nsaw: {saw}" + (f"\n{case.why}" if case.why else "")
    )
    if case.verdict is Verdict.BROKEN:
        kind, shown = "broken", f"&#10007; {seen}<small>{escape(case.expected.text)}</small>"
    elif not case.seen:
        kind, shown = "refused", "&ndash;"
    elif case.expected.is_open:
        kind, shown = "open", f"&asymp; {seen}"
    else:
        kind, shown = "kept", seen
    return f'<td class="{kind}" title="{title}">{shown}</td>'
