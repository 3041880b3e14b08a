"""A walkthrough: a page of ours as the things that its reader types, and what it promises to each.

A `sh` block is typed into the terminal that the text named last, and the `text` block after it is what shows: its lines
in their order, with others between them; … stands for anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

FENCE = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPENED = re.compile(r"In a (\w+) terminal")


@dataclass(frozen=True)
class Step:
    """What is typed into a terminal; *again* if the reader is told to look again until it shows what is promised."""

    terminal: str
    commands: str
    promised: Sequence[str]
    again: bool

    def kept(self, shown: str) -> bool:
        """Return whether all that is promised is in what is *shown*, in order."""
        return re.search(".*".join(map(_pattern, self.promised)), shown, re.DOTALL) is not None


def steps(page: str) -> list[Step]:
    """Return what a page lets its reader type, in order."""
    found: list[Step] = []
    terminal, end = "", 0
    for fence in FENCE.finditer(page):
        kind, content = fence.groups()
        text, end = page[end : fence.start()], fence.end()
        terminal = (OPENED.findall(text) or [terminal])[-1]
        if kind == "sh":
            found.append(Step(terminal, content, (), "look again" in " ".join(text.split())))
        elif found and "Ctrl-C" not in text:
            last = found.pop()
            found.append(Step(last.terminal, last.commands, content.splitlines(), last.again))
    return found


def ending(page: str) -> tuple[list[str], str]:
    """Return in which terminals Ctrl-C is to be pressed, in order, and what shows in those of services."""
    told, promised = re.findall(r"Press Ctrl-C ([^.]*)\..*?^```text\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)[0]
    return re.findall(r"in the (\w+)", told), promised


def _pattern(line: str) -> str:
    return r"[^\n]*".join(re.escape(part.strip()) for part in line.split("…"))
