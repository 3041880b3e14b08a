"""Variables of the environment that are probably misspelt settings: `KAFKA_SASL_USER` for `KAFKA_SASL_USERNAME`.

No unknown name is refused: Kubernetes sets `KAFKA_PORT` and the like for a service of that name.
"""

from collections.abc import Collection, Iterator
from typing import Final

from pydantic_settings import BaseSettings

from runtime.settings import secret_names

_PREFIXES: Final = ("KAFKA_", "HUBSPOT_")
_MOST_LETTERS: Final = 2
# As much of a last word is not another one: PASS is one of PASSWORD.
_LEAST_OF_A_WORD: Final = 3


def misspelt(kind: type[BaseSettings], environment: Collection[str]) -> Iterator[str]:
    """Yield a line for each name of *environment* that is almost one of *kind*'s settings."""
    ours = {name.upper() for name in kind.model_fields} | {f"{name.upper()}_FILE" for name in secret_names(kind)}
    ours = {name for name in ours if name.startswith(_PREFIXES)}
    for name in sorted({name.upper() for name in environment} - ours):
        if name.startswith(_PREFIXES) and (meant := min(_meant(name, ours), default=None)):
            yield f"{name}: is not a setting; did you mean {meant[1]}?"


def _meant(name: str, ours: Collection[str]) -> Iterator[tuple[int, str]]:
    for one in ours:
        if _is_cut_off(name, one):
            yield 0, one
        elif abs(len(name) - len(one)) <= _MOST_LETTERS and (letters := _distance(name, one)) <= _MOST_LETTERS:
            yield letters, one


def _is_cut_off(name: str, one: str) -> bool:
    """Return whether *name* is the beginning of *one*, into its last word."""
    words, last = one.rsplit("_", 1)
    return one.startswith(name) and len(words) + 1 + min(_LEAST_OF_A_WORD, len(last)) <= len(name)


def _distance(one: str, other: str) -> int:
    """Return how many letters have to be added, left out or changed (Levenshtein)."""
    before = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        row = [number]
        for at, theirs in enumerate(other, 1):
            row.append(min(before[at] + 1, row[at - 1] + 1, before[at - 1] + (letter != theirs)))
        before = row
    return before[-1]
