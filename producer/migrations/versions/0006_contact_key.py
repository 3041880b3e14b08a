"""The contact key on PostgreSQL 13 to 16, where the function of 0001 takes the letter v from both ends of an email."""

import sys
from collections.abc import Iterable
from typing import Final

from producer.migrations import run
from schemas.contacts import TRIMMED, lowered

revision: Final = "0006"
down_revision: Final = "0005"


def upgrade() -> None:
    # In every version and collation PostgreSQL lowers ASCII alike, and nothing else.
    uppercase = [letter for letter in map(chr, range(0x80, sys.maxunicode + 1)) if lowered(letter) != letter]
    run(
        "0006_contact_key.sql",
        trimmed=_literal(TRIMMED),
        uppercase=_literal(uppercase),
        lowercase=_literal(map(lowered, uppercase)),
    )


def _literal(letters: Iterable[str]) -> str:
    # In ASCII, so that no client's encoding changes them. PostgreSQL has always read these two escapes alike.
    codes = map(ord, letters)
    return "E'" + "".join(f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}" for code in codes) + "'"
