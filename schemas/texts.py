"""Texts from outside: functions that make them encodable and printable, and limit their length."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

from schemas.contacts import shortened

# Maximum length of a person's note or a message of HubSpot: it has to fit a line and a record.
LONGEST_KEPT: Final = 2_000
# An escaped surrogate, which may be half of a pair or a complete pair's first or second part.
_ESCAPED: Final = re.compile(r"\\u[dD][89a-fA-F]")


def encodable(text: str) -> str:
    """Return *text* with unpaired surrogates replaced: JSON may contain them escaped, but UTF-8 can't encode them."""
    return text.encode(errors="replace").decode()


def printable(text: str) -> str:
    """Return *text* as one line that no terminal, log or page takes for anything but words.

    White space becomes a space, and what can't be printed, such as a control character or a surrogate, a question mark.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)


def read_json(value: bytes) -> Any:
    """Return the JSON document in *value*, with encodable texts. Raises ValueError, also for too deep nesting."""
    try:
        text = value.decode(json.detect_encoding(value))
        document = json.loads(text)
        # Most documents have no surrogates, and checking each of their texts would take as long as parsing.
        return json.loads(encodable(json.dumps(document, ensure_ascii=False))) if _ESCAPED.search(text) else document
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_object(value: bytes | None) -> Mapping[str, Any]:
    """Return the JSON object in *value*; an empty one for anything else. Never raises."""
    try:
        document = read_json(value or b"")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _encodable(value: object) -> object:
    return encodable(value) if isinstance(value, str) else value


def _shortened(text: str) -> str:
    return shortened(text, LONGEST_KEPT)


Words = Annotated[str, BeforeValidator(_encodable), AfterValidator(_shortened)]
"""A text of a person or of HubSpot for a stored record: without whole emails, and cut to LONGEST_KEPT characters."""
