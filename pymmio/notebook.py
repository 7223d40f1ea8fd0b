"""HTML for notebooks: tables that follow the page's own colours, light or dark.

Every text is escaped, as much of it comes from devices; nothing is loaded from elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Row", "html_note", "html_table"]

# Only what no theme sets: colours are the page's, shades are made of them.
_TABLE = "border-collapse:collapse;margin:.5em 0"
_CAPTION = "caption-side:top;text-align:left;font-weight:bold;padding:.3em 0;color:inherit"
_CELL = "text-align:left;vertical-align:top;padding:.15em .8em .15em 0"
_HEAD = f"{_CELL};border-bottom:1px solid currentColor;opacity:.75"
_WRAPPED = "overflow-wrap:anywhere;min-width:12em"  # lists without spaces
_MONO = "font-family:ui-monospace,monospace;white-space:nowrap"


@dataclass(frozen=True, slots=True)
class Row:
    """Cells of a row; ``is_detail`` sets it back behind the row that it belongs to."""

    cells: tuple[str, ...]
    is_detail: bool = False


def html_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Row | Sequence[str]],
    *,
    mono: Collection[str] = (),
) -> str:
    """Return a table; the columns in ``mono`` hold numbers and names of programs."""
    head = "".join(f'<th style="{_HEAD}">{escape(column)}</th>' for column in columns)
    body = []
    for item in rows:
        row = item if isinstance(item, Row) else Row(tuple(item))
        style = ' style="opacity:.8"' if row.is_detail else ""
        cells = []
        for column, text in zip(columns, row.cells, strict=True):
            look = f"{_CELL};{_MONO}" if column in mono else _CELL
            if column == columns[-1] and column not in mono:
                look += f";{_WRAPPED}"
            shown = escape(text).replace(",", ",<wbr/>")
            if row.is_detail and column == columns[1]:
                look += ";padding-left:1.2em"
            cells.append(f'<td style="{look}">{shown}</td>')
        body.append(f"<tr{style}>{''.join(cells)}</tr>")
    return (
        f'<table style="{_TABLE}"><caption style="{_CAPTION}">{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def html_note(text: str) -> str:
    """Return a remark below or in place of a table."""
    return f'<p style="margin:.3em 0;opacity:.85">{escape(text)}</p>'
