"""Words: what people type to say why, which goes onto topics that are kept, and to commands as an argument."""

import unicodedata
from typing import Any, Final

from fastapi import HTTPException

from hubspot_consumer.cli.pause import LONGEST_WORDS

# Half of a pair can't be written, and an argument can't hold a NUL.
_UNFIT: Final = frozenset({"Cc", "Cs"})


def words_of(name: str, typed: Any, longest: int = LONGEST_WORDS) -> str:
    """Return what was typed into the field *name*, trimmed; refuse control characters, and more than *longest*."""
    words = str(typed or "").strip()
    if len(words) > longest:
        raise HTTPException(400, f"{name} should have at most {longest} characters; it has {len(words):,}")
    if any(unicodedata.category(each) in _UNFIT for each in words):
        raise HTTPException(400, f"{name} should be one line, without control characters")
    return words
