"""Mermaid's flowcharts in our documents: their nodes and arrows, as far as we write them."""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_GROUP = re.compile(r'subgraph (\w+) \["([^"]+)"\]')
_NODE = re.compile(r'(\w+)[\[(]+"([^"]+)"[\])]+')
_ARROW = re.compile(r'\s*<?--(?: "[^"]+" --)?>\s*')


@dataclass(frozen=True)
class Flowchart:
    """The labels of nodes and of groups by their names, the group of each node, and which nodes arrows join."""

    nodes: dict[str, str]
    groups: dict[str, str]
    group_of: dict[str, str]
    arrows: list[tuple[str, str]]


def diagrams(page: Path) -> list[str]:
    """Return the source of each diagram of a page."""
    return _BLOCK.findall(page.read_text())


def flowchart(source: str) -> Flowchart:
    """Read a flowchart. Raises AssertionError for a line that we do not write."""
    nodes: dict[str, str] = {}
    groups: dict[str, str] = {}
    group_of: dict[str, str] = {}
    arrows: list[tuple[str, str]] = []
    group = ""
    for line in filter(None, map(str.strip, source.splitlines()[1:])):
        if begun := _GROUP.fullmatch(line):
            group, groups[begun[1]] = begun[1], begun[2]
        elif line == "end":
            group = ""
        elif node := _NODE.fullmatch(line):
            nodes[node[1]], group_of[node[1]] = node[2], group
        else:
            ends = _ARROW.split(line)
            assert len(ends) > 1, line
            arrows += pairwise(ends)
    return Flowchart(nodes, groups, group_of, arrows)
