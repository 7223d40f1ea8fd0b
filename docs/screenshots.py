"""Pictures of what commands show on a terminal: run on one, its output as SVG.

``make screenshots`` writes all that the documentation uses to docs/_build/screens;
``.. pymmio-screen:: COMMAND`` on a page does it while the page is built.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
SCREENS = DOCS / "_build" / "screens"
COLUMNS = 88
DEADLINE_S = 120
_DIRECTIVE = re.compile(r"^\.\. pymmio-screen:: (.+)$", re.MULTILINE)
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
# Each line of rich is cut off, and 24.4 pixels high for letters of 20: tables would have gaps.
_CLIPS = re.compile(
    r'<clipPath id="[^"]*-line-\d+">.*?</clipPath>\s*|clip-path="[^"]*-line-\d+\)"', re.DOTALL
)
_RICH_FONT_SIZE, _FONT_SIZE, _ADVANCE = 20, 22, 0.602  # pixels; width of a letter in heights
_MONOSPACE = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def commands() -> list[str]:
    """Return the commands that pages show, without the word pymmio."""
    pages = (page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.rst")))
    return sorted({command.strip() for page in pages for command in _DIRECTIVE.findall(page)})


def file_name(command: str) -> str:
    """Return the name of a command's picture."""
    return re.sub(r"[^a-z0-9]+", "-", command.lower()).strip("-") + ".svg"


def run_on_terminal(command: str, columns: int = COLUMNS) -> str:
    """Run a pymmio command on a terminal of its own and return all that it showed.

    Raises RuntimeError with the output where it fails, or takes too long.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("=HHHH", 100, columns, 0, 0))
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    process = subprocess.Popen(
        [sys.executable, "-m", "pymmio.cli", *command.split()],
        stdin=its, stdout=its, stderr=its,
        env={**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    os.close(its)
    shown, end = b"", time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < end:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # nobody has the other end open any more
                break
            shown += piece
        code = process.wait(max(1.0, end - time.monotonic()))
    finally:
        os.close(ours)
        process.kill()
        process.wait()
    if code:
        raise RuntimeError(f"pymmio {command} ended with {code}: {shown.decode()}")
    return shown.decode()


def last_screen(shown: str) -> str:
    """Return what stands on the screen in the end, with its colours: bars that went away do not.

    Understands what rich writes: carriage return, lines up, clear the line, cursor on and off.
    """
    lines, row = [""], 0
    for token in re.split(r"(\r\n|\n|\r|\x1b\[\d*A|\x1b\[2K|\x1b\[\?\d+[hl])", shown):
        if token in ("\r\n", "\n"):
            row += 1
            if row == len(lines):
                lines.append("")
        elif token == "\x1b[2K":
            lines[row] = ""
        elif up := re.fullmatch(r"\x1b\[(\d*)A", token):
            row = max(0, row - int(up[1] or 1))
        elif token and token != "\r" and not token.startswith("\x1b[?"):
            lines[row] += token
    while lines and not lines[-1].strip():
        lines.pop()
    return "\n".join(lines)


def picture(command: str, columns: int = COLUMNS) -> str:
    """Return a command and what it shows as SVG; no font is fetched."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    theme = TerminalTheme(
        (0x1B, 0x1F, 0x27), (0xD7, 0xDC, 0xE5),
        [(0x1B, 0x1F, 0x27), (0xE0, 0x6C, 0x75), (0x8C, 0xC2, 0x65), (0xE5, 0xC0, 0x7B),
         (0x61, 0xAF, 0xEF), (0xC6, 0x78, 0xDD), (0x56, 0xB6, 0xC2), (0xD7, 0xDC, 0xE5)],
    )  # fmt: skip
    screen = Text.from_ansi(last_screen(run_on_terminal(command, columns)))
    typed = f"$ pymmio {command}"
    widest = max(len(typed), *(line.cell_len for line in screen.split()), 40)
    console = Console(width=widest, record=True, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    with console.file:
        console.print(Text(typed, style="bold green"))
        console.print(screen, soft_wrap=True)
        svg = console.export_svg(
            title="pymmio", theme=theme, unique_id=file_name(command)[:-4],
            font_aspect_ratio=_FONT_SIZE * _ADVANCE / _RICH_FONT_SIZE,
        )  # fmt: skip
    svg = _CLIPS.sub("", _FONT.sub("", svg)).replace("Fira Code, monospace", _MONOSPACE)
    return svg.replace(f"font-size: {_RICH_FONT_SIZE}px;", f"font-size: {_FONT_SIZE}px;", 1)


def draw(command: str, folder: Path = SCREENS) -> Path:
    """Write the picture of a command and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(command)
    path.write_text(picture(command), encoding="utf-8")
    return path


if __name__ == "__main__":
    for one in sys.argv[1:] or commands():
        print(draw(one))
