"""Pages of ours as GitHub shows them: their anchors, and the links that they have."""

import re
from pathlib import Path

_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def relative_links(page: Path) -> list[str]:
    """Return the targets of a page's links, in order, without those that lead to another host."""
    return [target for target in _LINK.findall(_text(page)) if "://" not in target and not target.startswith("mailto:")]


def _text(page: Path) -> str:
    return _FENCED.sub("", page.read_text())
