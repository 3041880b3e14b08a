"""A recording of a command in a terminal, as an SVG: it plays once, and then shows how it ended.

CSS moves it, so that it needs no script. Whoever wants no motion, or has no CSS, sees the end at once.
"""

import codecs
import contextlib
import os
import pty
import re
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

COLUMNS: Final = 100
# So many that nothing scrolls.
ROWS: Final = 200
# Each frame is a part of the file.
FRAME_S: Final = 0.4
# What is written together comes together: a bar is erased and drawn again at once.
TOGETHER_S: Final = 0.03
# Longer waits are shortened, for whoever watches.
LONGEST_WAIT_S: Final = 1.0
FONT: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
SIZE: Final = 14
CELL: Final = 8.4
LINE: Final = 18
MARGIN: Final = 16

_CODE: Final = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\r|\n")
# What one read may have of a code whose end the next has.
_BEGUN: Final = re.compile(r"\x1b(?:\[[?\d;]*)?$")


class NotToBePublished(RuntimeError):
    """The recording has something in it that is nobody's business, or ended badly."""


@dataclass(frozen=True)
class Said:
    """What a program wrote at once, and when, in seconds since its start."""

    at_s: float
    text: str


@dataclass(frozen=True)
class Line:
    """What a row of the terminal showed from one moment to another; to the end if `to_s` is None."""

    row: int
    text: str
    from_s: float
    to_s: float | None


def record(command: Sequence[str], directory: Path) -> list[Said]:
    """Run *command* in a terminal, and return what it wrote. Raises NotToBePublished if it fails."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    environment.pop("NO_COLOR", None)
    began = time.monotonic()
    process = subprocess.Popen(list(command), cwd=directory, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = [Said(time.monotonic() - began, text) for text in _read(ours)]
    os.close(ours)
    if process.wait():
        raise NotToBePublished(f"{' '.join(command)} ended with code {process.returncode}")
    return said


def lines(said: Sequence[Said]) -> list[Line]:
    """Return what each row showed, and when, with long waits shortened."""
    screen: list[str] = [""]
    row, now_s, last_s, looked_s = 0, 0.0, 0.0, -FRAME_S
    shown: list[Line] = []
    since: dict[int, tuple[str, float]] = {}

    def look() -> None:
        for number, text in enumerate(screen):
            before, from_s = since.get(number, ("", 0.0))
            if text != before:
                if before:
                    shown.append(Line(number, before, from_s, now_s))
                since[number] = (text, now_s)

    for one in said:
        if one.at_s - last_s > TOGETHER_S and now_s - looked_s >= FRAME_S:
            look()
            looked_s = now_s
        now_s += min(one.at_s - last_s, LONGEST_WAIT_S)
        last_s = one.at_s
        row = _write(screen, row, one.text)
    look()
    return shown + [Line(number, text, from_s, None) for number, (text, from_s) in since.items() if text]


def svg(shown: Sequence[Line], title: str) -> str:
    """Return the recording as a picture."""
    last = max(line.row for line in shown)
    width, height = 2 * MARGIN + COLUMNS * CELL, 2 * MARGIN + (last + 1) * LINE
    theme = SVG_EXPORT_THEME
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
        f"<title>{escape(title)}</title>",
        "<style>",
        f"text{{font:{SIZE}px {FONT};white-space:pre;fill:{theme.foreground_color.hex}}}",
        "@keyframes absent{from,to{visibility:hidden}}@keyframes present{from,to{visibility:visible}}",
        ".stays{animation:absent 1ms backwards}.goes{visibility:hidden;animation:present}",
        "@media (prefers-reduced-motion:reduce){.stays,.goes{animation:none}}",
        "</style>",
        f'<rect width="100%" height="100%" rx="8" fill="{theme.background_color.hex}"/>',
        *(_drawn(line) for line in sorted(shown, key=lambda line: (line.from_s, line.row))),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def refuse_private(picture: str, private: Sequence[str]) -> None:
    """Raise NotToBePublished if a path of this machine is in the picture."""
    if found := [path for path in private if path in picture]:
        raise NotToBePublished(f"the recording contains {', '.join(found)}")


def _read(terminal: int) -> Iterator[str]:
    decoder, kept = codecs.getincrementaldecoder("utf-8")(), ""
    # Linux says by an error that the last program has closed its side.
    with contextlib.suppress(OSError):
        while said := os.read(terminal, 65_536):
            text = kept + decoder.decode(said)
            begun = _BEGUN.search(text)
            kept = begun[0] if begun else ""
            yield text.removesuffix(kept)


def _write(screen: list[str], row: int, text: str) -> int:
    """Write on the screen from *row* on, and return the row where it ends; who goes back to a line erases it first."""
    for plain, code in _split(text):
        screen[row] += plain
        match = _CODE.fullmatch(code)
        if code == "\n":
            row += 1
        elif match and match[2] == "A":
            row = max(0, row - int(match[1] or 1))
        elif match and match[2] == "K":
            screen[row] = ""
        elif match and match[2] == "m":
            screen[row] += code
        screen.extend([""] * (row + 1 - len(screen)))
    return row


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Yield plain text and the code behind it."""
    end = 0
    for code in _CODE.finditer(text):
        yield text[end : code.start()], code[0]
        end = code.end()
    yield text[end:], ""


def _drawn(line: Line) -> str:
    when = f"animation-delay:{line.from_s:.1f}s"
    if line.to_s is not None:
        when += f";animation-duration:{line.to_s - line.from_s:.1f}s"
    kind = "stays" if line.to_s is None else "goes"
    y = MARGIN + line.row * LINE + SIZE
    return f'<text class="{kind}" style="{when}" y="{y}">{"".join(_spans(line.text))}</text>'


def _spans(coded: str) -> Iterator[str]:
    console = Console(width=COLUMNS, color_system="truecolor", force_terminal=True)
    column = 0
    for segment in Text.from_ansi(coded).render(console):
        cells = cell_len(segment.text)
        if segment.text.strip():
            place = f'x="{MARGIN + column * CELL:g}" textLength="{cells * CELL:g}" lengthAdjust="spacingAndGlyphs"'
            yield f"<tspan {place}{_look_of(segment.style)}>{escape(segment.text)}</tspan>"
        column += cells


def _look_of(style: Style | None) -> str:
    if style is None:
        return ""
    color = f' fill="{style.color.get_truecolor(SVG_EXPORT_THEME).hex}"' if style.color else ""
    return color + (' font-weight="bold"' if style.bold else "") + (' opacity="0.6"' if style.dim else "")
