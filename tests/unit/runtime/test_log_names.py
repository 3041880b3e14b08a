"""The names of log lines: what the code logs, the closed list, and docs/logs.md are the same."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from runtime.log_names import LogName
from runtime.logs import LIBRARY

ROOT = Path(__file__).parents[3]
PACKAGES = ("runtime", "producer", "hubspot_consumer", "console", "sandbox", "schemas")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
NAMES = get_args(LogName)
A_NAME = re.compile(r"[a-z_]+\.[a-z_]+")


def logged_names(source: str) -> Iterator[str]:
    """Yield the name of each log line in *source*; what is no literal is yielded as its code."""
    tree = ast.parse(source)
    handed_over = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            handed_over[id(node.func)] = node.args[0]
            # `partial(log.info, "a.name")`: somebody else makes the call.
            if isinstance(node.func, ast.Name) and node.func.id == "partial" and len(node.args) > 1:
                handed_over[id(node.args[0])] = node.args[1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in LEVELS and ast.unparse(node.value) == "log":
            name = handed_over.get(id(node))
            for one in (name.body, name.orelse) if isinstance(name, ast.IfExp) else (name,):
                yield str(one.value) if isinstance(one, ast.Constant) else ast.unparse(one or node)


def in_the_code() -> Counter[str]:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return Counter(name for file in files for name in logged_names(file.read_text()))


def in_the_docs() -> list[str]:
    rows = re.findall(r"^\| `([^`]+)` \| [a-z, ]+ \| .+ \|$", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE)
    return [name for name in rows if A_NAME.fullmatch(name)]


def test_every_line_that_the_code_logs_has_a_name_of_the_list_and_every_name_is_logged() -> None:
    assert {*in_the_code(), LIBRARY} == set(NAMES)


def test_names_are_unique_and_of_one_form() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(A_NAME.fullmatch(name) for name in NAMES)


def test_the_documentation_explains_each_name_once_and_no_other() -> None:
    assert sorted(in_the_docs()) == sorted(NAMES)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('log.info("a.b", n=1)', ["a.b"]),
        ('log.info("a.b" if well else "a.c")', ["a.b", "a.c"]),
        ('Journal(partial(log.info, "a.b"), 1)', ["a.b"]),
        ('log.warning(f"a.{b}")', ["f'a.{b}'"]),
        ("tell = log.debug", ["log.debug"]),
        ('self.log.info("of somebody else")', []),
    ],
)
def test_a_name_is_found_however_it_is_logged_and_what_is_none_is_shown(source: str, names: list[str]) -> None:
    assert list(logged_names(source)) == names
