"""The contact key: how an email names a contact, a lane and a Kafka partition."""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NewType

ContactKey = NewType("ContactKey", str)

# RFC 5321 allows 64 octets before the @ and 255 after it.
LONGEST_EMAIL = 320
TRIMMED = " \t\n\r\f\v\u00a0"
# Libraries lower-case two letters differently: the dotted capital I, and the sigma at the end of a word.
_LOWERED_ALONE = str.maketrans({"\u0130": "i", "\u03a3": "\u03c3"})

# Composition joins at most four characters into one, so a longer text is still too long afterwards.
_LONGEST_DECOMPOSED: Final = 4 * LONGEST_EMAIL

# The pattern is loose on purpose: to mask a text that is no email does no harm. An email may end in a quote or a brace
# before its @, although in a message these usually enclose it.
_MARKS: Final = r"<>\"'`(){}\[\],;:="
_LETTER: Final = rf"[^\s@{_MARKS}]"
# The match starts at a word's start and never backtracks. Otherwise a long word without an @ would be read once per
# letter.
_BEFORE_AN_AT: Final = re.compile(rf"(?<!{_LETTER}){_LETTER}++[{_MARKS}]*+@(?=[^\s@])")


def contact_key(email: str) -> ContactKey:
    """Return the contact key of *email*: trimmed, NFC, lower-cased. Raises ValueError if *email* can't name a contact.

    The SQL function `lifecycle_contact_key` does the same; an integration test compares the two.
    """
    return _key_of(email.strip(TRIMMED))


# The events of a contact come in groups. Without a cache, a fifth of the time of reading them was spent on normalising
# the same email again.
@lru_cache(maxsize=4_096)
def _key_of(stripped: str) -> ContactKey:
    if len(stripped) > _LONGEST_DECOMPOSED:
        # The length is checked before composition, which would take minutes for a megabyte of accents.
        raise ValueError(f"an email has at most {LONGEST_EMAIL} characters")
    key = unicodedata.normalize("NFC", lowered(unicodedata.normalize("NFC", stripped)))
    local, at, domain = key.rpartition("@")
    if not (at and local and domain):
        raise ValueError("an email needs something on both sides of an @")
    if len(key) > LONGEST_EMAIL:
        raise ValueError(f"an email has at most {LONGEST_EMAIL} characters")
    # The plain space is the only white space that `isprintable` accepts.
    if " " in key or not key.isprintable():
        raise ValueError("an email holds no white space and no control characters")
    return ContactKey(key)


def lowered(text: str) -> str:
    """Return *text* in lower case. Each letter is lowered by itself, independent of its neighbours."""
    return text.translate(_LOWERED_ALONE).lower()


def masked(email: str) -> str:
    """Return *email* as log lines may show it: `a***@example.com`."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}"


def without_emails(text: str) -> str:
    """Return *text* with everything masked that looks like an email."""
    return _BEFORE_AN_AT.sub(lambda email: masked(email.group()), text)


def shortened(
    text: str, longest: int, hidden: re.Pattern[str] = _BEFORE_AN_AT, mask: Callable[[str], str] = masked
) -> str:
    """Return the first *longest* characters of *text*, with all emails, or all matches of *hidden*, masked.

    A match that the end cuts is masked as well, provided that it is no longer than an email.
    """
    # A match that begins before the end has its @ within this window.
    window, shown, end = text[: longest + LONGEST_EMAIL], list[str](), 0
    for found in hidden.finditer(window):
        if found.start() >= longest:
            break
        shown += (window[end : found.start()], mask(found.group()))
        end = found.end()
    return "".join((*shown, window[end:longest]))[:longest]


def contact_hash(key: ContactKey) -> str:
    """Return a short stable id of the contact, for logs and lists of dead letters, which does not show the email."""
    return suppression_of(key)[:12]


def suppression_of(key: ContactKey) -> str:
    """Return the contact's record key on the topic of suppressions: the SHA-256 of its contact key, in hex digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def named(key: ContactKey) -> dict[str, str]:
    """Return how JSON for people and programs names a contact: by its masked email and its hash."""
    return {"contact": masked(key), "contact_hash": contact_hash(key)}
