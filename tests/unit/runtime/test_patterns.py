"""Regular expressions on foreign text: none takes longer than in proportion to the text."""

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator

import pytest

from schemas.contacts import shortened, without_emails

PACKAGES = ("console", "hubspot_consumer", "producer", "runtime", "schemas")
# Each is slow in its own way, where a pattern goes back: no @, nothing after it, many of them.
LONG: list[Callable[[int], str]] = [
    lambda letters: "a" * letters,
    lambda letters: "a" * letters + "@",
    lambda letters: "@" * letters,
    lambda letters: "a@" * (letters // 2),
    lambda letters: "a@b " * (letters // 4),
    lambda letters: "a'" * (letters // 2),
    lambda letters: "a" + "'" * letters,
    lambda letters: "'" * letters,
    lambda letters: "a." * (letters // 2) + "@b",
    lambda letters: "pat-" * (letters // 4),
    lambda letters: "pat-a" + "a1" * (letters // 2),
    lambda letters: "9" * letters,
    lambda letters: "9:" * (letters // 2),
    lambda letters: "-" * letters,
    lambda letters: '"' + "\\" * letters,
    lambda letters: '"' * letters,
    lambda letters: " " * letters,
]


def patterns() -> Iterator[re.Pattern[str]]:
    """Yield the compiled expressions of all modules."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages([package], f"{package}."):
            if not module.name.endswith("__main__") and ".migrations." not in module.name:
                for value in vars(importlib.import_module(module.name)).values():
                    if isinstance(value, re.Pattern):
                        yield value


PATTERNS = sorted(set(patterns()), key=str)


def is_linear(read: Callable[[str], object], text: Callable[[int], str]) -> bool:
    """Return whether *read* takes in proportion to the length of *text*."""

    def takes_s(letters: int) -> float:
        made, took = text(letters), []
        for _ in range(3):
            began = time.thread_time()
            read(made)
            took.append(time.thread_time() - began)
        return min(took)

    # 8 times as long: the square of that is 64.
    return takes_s(8_000) < 24 * max(takes_s(1_000), 1e-5)


@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize("mask", [without_emails, lambda text: shortened(text, len(text))])
def test_masking_takes_as_long_as_a_text_is(text: Callable[[int], str], mask: Callable[[str], str]) -> None:
    assert is_linear(mask, text)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.pattern[:40])
def test_no_expression_reads_a_text_more_than_a_few_times(pattern: re.Pattern[str]) -> None:
    for text in LONG:
        assert is_linear(pattern.fullmatch, text)
        assert is_linear(lambda made: list(pattern.finditer(made)), text), text(20)


def test_the_expressions_that_read_foreign_text_are_among_them() -> None:
    assert len(PATTERNS) > 10


def test_an_expression_that_goes_back_is_found() -> None:
    assert not is_linear(re.compile(r"[a-z]+@").findall, LONG[0])
