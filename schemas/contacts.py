"""The contact key: how an email names a contact, a lane and a Kafka partition."""

import hashlib
import re
import unicodedata
from typing import NewType

ContactKey = NewType("ContactKey", str)

# RFC 5321 allows 64 octets before the @ and 255 after it.
LONGEST_EMAIL = 320
TRIMMED = " \t\n\r\f\v\u00a0"
# Two letters that libraries lower differently: the dotted capital I, and the sigma at a word's end.
_LOWERED_ALONE = str.maketrans({"\u0130": "i", "\u03a3": "\u03c3"})

# Loose on purpose: masking something that is no email costs nothing.
_LOOKS_LIKE_AN_EMAIL = re.compile(r"[^\s@<>\"'`(){}\[\],;:=]+@[^\s@<>\"'`(){}\[\],;:=]+")


def contact_key(email: str) -> ContactKey:
    """Return the contact key of *email*: trimmed, NFC, lower-cased. Raises ValueError when it can't name a contact.

    The SQL function `lifecycle_contact_key` does the same; an integration test holds the two together.
    """
    key = unicodedata.normalize("NFC", lowered(unicodedata.normalize("NFC", email.strip(TRIMMED))))
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


def contact_hash(key: ContactKey) -> str:
    """Return a short stable name of the contact for logs and dead-letter lists, from which the email can't be read."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]
