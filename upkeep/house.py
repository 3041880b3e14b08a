"""The house: figures of the code's layout, computed from the files alone.

A room of a package is one of its sub-packages or modules. An arrow is an import from one room into another of the
same package; a floor is a level of the longest chain of arrows. Statements are those of Python's syntax tree, without
docstrings.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

PRODUCT: Final = ("schemas", "runtime", "producer", "hubspot_consumer", "console")
OTHERS: Final = ("sandbox", "bench", "upkeep", "tests")
MOST_FILES: Final = 14
MOST_TEST_FILES: Final = 20
MOST_TERMS: Final = 40
GLOSSARY: Final = "docs/glossary.md"


@dataclass(frozen=True)
class Package:
    """The figures of one top-level folder. `files` counts Python files except `__init__.py`, by folder."""

    name: str
    files: Mapping[str, int]
    statements: int
    file_lines: list[int]
    function_lines: list[int]
    arrows: frozenset[tuple[str, str]]

    @property
    def rooms(self) -> int:
        return len({room for arrow in self.arrows for room in arrow})

    @property
    def floors(self) -> int:
        """The number of rooms on the longest chain of arrows; a chain enters each room of a circle at most once."""
        return _longest_chain(self.arrows)

    @property
    def largest_folder(self) -> tuple[str, int]:
        return max(self.files.items(), key=lambda folder: folder[1], default=(self.name, 0))


@dataclass(frozen=True)
class House:
    """All packages, and the number of terms that the glossary defines."""

    packages: list[Package]
    terms: int

    @property
    def statements(self) -> int:
        """The number of statements in the packages of the product."""
        return sum(package.statements for package in self.packages if package.name in PRODUCT)

    def faults(self) -> Iterator[str]:
        """Yield a message for each figure that exceeds its bound."""
        for package in self.packages:
            most = MOST_TEST_FILES if package.name == "tests" else MOST_FILES
            for folder, files in sorted(package.files.items()):
                if files > most:
                    yield f"{folder} has {files} Python files, more than {most}: make rooms in it"
        if self.terms > MOST_TERMS:
            yield f"{GLOSSARY} defines {self.terms} terms, more than {MOST_TERMS}: use the field's words"


def measured(root: Path) -> House:
    """Measure the checkout at *root*. Raises SyntaxError for a file that is not Python."""
    packages = [_package(root, name) for name in (*PRODUCT, *OTHERS) if (root / name).is_dir()]
    glossary = root / GLOSSARY
    terms = len(re.findall(r"\*\*[^*]+\*\*", glossary.read_text())) if glossary.exists() else 0
    return House(packages, terms)


def table(house: House) -> str:
    """Return the figures as a text table."""
    head = (
        "",
        "files",
        "lines",
        "statements",
        "largest folder",
        "rooms",
        "arrows",
        "floors",
        "file lines",
        "function lines",
    )
    rows = [head, *(_row(package) for package in house.packages)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [
            *lines,
            "The last two are lines: of files median/most, of functions median/p90/most.",
            f"The product has {house.statements} statements; the glossary defines {house.terms} terms.",
        ]
    )


def _row(package: Package) -> tuple[str, ...]:
    folder, most = package.largest_folder
    files, functions = package.file_lines, package.function_lines
    p90 = quantiles(functions, n=10)[-1] if len(functions) > 1 else sum(functions)
    return (
        package.name,
        str(sum(package.files.values())),
        str(sum(files)),
        str(package.statements),
        f"{most} in {folder}",
        str(package.rooms),
        str(len(package.arrows)),
        str(package.floors),
        f"{median(files):.0f}/{max(files)}",
        f"{median(functions or [0]):.0f}/{p90:.0f}/{max(functions, default=0)}",
    )


def _package(root: Path, name: str) -> Package:
    files: Counter[str] = Counter()
    file_lines, function_lines, statements = [], list[int](), 0
    arrows: set[tuple[str, str]] = set()
    for path in sorted((root / name).rglob("*.py")):
        text, parts = path.read_text(), path.relative_to(root).with_suffix("").parts
        tree = ast.parse(text)
        if path.stem != "__init__":
            files[str(path.parent.relative_to(root))] += 1
            file_lines.append(text.count("\n"))
        statements += sum(isinstance(node, ast.stmt) for node in ast.walk(tree)) - _docstrings(tree)
        function_lines += [
            (node.end_lineno or node.lineno) - node.lineno + 1
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        if len(parts) > 1:
            arrows |= {(parts[1], room) for room in _rooms_imported(tree, name) if room != parts[1]}
    return Package(name, files, statements, file_lines or [0], function_lines, frozenset(arrows))


def _docstrings(tree: ast.Module) -> int:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(
        ast.get_docstring(node, clean=False) is not None for node in ast.walk(tree) if isinstance(node, documented)
    )


def _rooms_imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == package and rest:
                yield rest.split(".")[0]


def _longest_chain(arrows: Iterable[tuple[str, str]]) -> int:
    below: defaultdict[str, set[str]] = defaultdict(set)
    for above, room in arrows:
        below[above].add(room)
    depth: dict[str, int] = {}

    def deep(room: str, path: frozenset[str]) -> int:
        if room not in depth:
            depth[room] = 1 + max((deep(other, path | {room}) for other in below[room] - path - {room}), default=0)
        return depth[room]

    return max((deep(room, frozenset()) for room in list(below)), default=1)
