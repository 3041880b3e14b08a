"""Text input: validates notes and field values, which become records on kept topics and arguments of commands."""

import unicodedata
from typing import Any, Final

from fastapi import HTTPException

from hubspot_consumer.cli.gates import LONGEST_WORDS

# Control characters (Cc), as an argument can't contain NUL, and surrogates (Cs), which can't be encoded.
_UNFIT: Final = frozenset({"Cc", "Cs"})


def words_of(name: str, typed: Any, longest: int = LONGEST_WORDS) -> str:
    """Return the trimmed text of the field *name*.

    Raises HTTPException 400 if it has control characters or more than *longest* characters.
    """
    words = str(typed or "").strip()
    if len(words) > longest:
        raise HTTPException(400, f"{name} should have at most {longest} characters; it has {len(words):,}")
    if any(unicodedata.category(each) in _UNFIT for each in words):
        raise HTTPException(400, f"{name} should be one line, without control characters")
    return words
