"""The contact key: how an email names a contact, a lane and a Kafka partition."""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from typing import Final, NewType

ContactKey = NewType("ContactKey", str)

# RFC 5321 allows 64 octets before the @ and 255 after it.
LONGEST_EMAIL = 320
TRIMMED = " \t\n\r\f\v\u00a0"
# Two letters that libraries lower differently: the dotted capital I, and the sigma at a word's end.
_LOWERED_ALONE = str.maketrans({"\u0130": "i", "\u03a3": "\u03c3"})

# Composing makes one character of four at the most: what is longer before it is too long afterwards.
_LONGEST_DECOMPOSED: Final = 4 * LONGEST_EMAIL

# Loose on purpose: masking something that is no email costs nothing.
_LETTER: Final = r"[^\s@<>\"'`(){}\[\],;:=]"
# It begins where a word begins and goes back nowhere, or a long word without an @ would be read once for each letter.
_LOOKS_LIKE_AN_EMAIL: Final = re.compile(rf"(?<!{_LETTER}){_LETTER}++@{_LETTER}++")


def contact_key(email: str) -> ContactKey:
    """Return the contact key of *email*: trimmed, NFC, lower-cased. Raises ValueError when it can't name a contact.

    The SQL function `lifecycle_contact_key` does the same; an integration test holds the two together.
    """
    stripped = email.strip(TRIMMED)
    if len(stripped) > _LONGEST_DECOMPOSED:
        # Before it is composed: a megabyte of accents would take minutes.
        raise ValueError(f"an email has at most {LONGEST_EMAIL} characters")
    key = unicodedata.normalize("NFC", lowered(unicodedata.normalize("NFC", stripped)))
    local, at, domain = key.rpartition("@")
    if not (at and local and domain):
        raise ValueError("an email needs something on both sides of an @")
    if len(key) > LONGEST_EMAIL:
        raise ValueError(f"an email has at most {LONGEST_EMAIL} characters")
    # Of all white space, Python finds only the plain space printable.
    if " " in key or not key.isprintable():
        raise ValueError("an email holds no white space and no control characters")
    return ContactKey(key)


def lowered(text: str) -> str:
    """Return *text* in lower case, each letter by itself, whatever letters are beside it."""
    return text.translate(_LOWERED_ALONE).lower()


def masked(email: str) -> str:
    """Return what a log line may show of *email*: `a***@example.com`."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}"


def without_emails(text: str) -> str:
    """Return *text* with whatever looks like an email masked."""
    return _LOOKS_LIKE_AN_EMAIL.sub(lambda email: masked(email.group()), text)


def shortened(
    text: str, longest: int, hidden: re.Pattern[str] = _LOOKS_LIKE_AN_EMAIL, mask: Callable[[str], str] = masked
) -> str:
    """Return the first *longest* characters of *text*, with the emails in it masked, or whatever else is *hidden*.

    One that the end cuts through is masked as well: what is to be hidden is no longer than an email.
    """
    # One that begins before the end has its @ in here.
    window, shown, end = text[: longest + LONGEST_EMAIL], list[str](), 0
    for found in hidden.finditer(window):
        if found.start() >= longest:
            break
        shown += (window[end : found.start()], mask(found.group()))
        end = found.end()
    return "".join((*shown, window[end:longest]))[:longest]


def contact_hash(key: ContactKey) -> str:
    """Return a short stable name of the contact for logs and dead-letter lists, from which the email can't be read."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]
