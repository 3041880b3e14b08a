"""Values of an answer's body. Each may be missing, or of another kind than documented, so these readers never raise.

HubSpot's words end in log lines, dead letters and terminals, so `words_of` gives them without what could act there.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import httpx

from schemas.contacts import LONGEST_EMAIL, shortened
from schemas.texts import printable, read_json

LONGEST_NAME: Final = 100
# The parsed body's place in an answer of httpx.
_BODY: Final = "nerava.body"
_A_TOKEN: Final = re.compile(r"pat-[a-z]+[0-9]*-[0-9A-Za-z-]{8,}")


def body_of(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one if its body is none."""
    return object_in(response) or {}


def object_in(response: httpx.Response) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None if its body is none."""
    # Several readers ask for the body of the same answer, and to parse a large one takes a quarter of a second.
    if _BODY not in response.extensions:
        response.extensions[_BODY] = parsed(response.content)
    document = response.extensions[_BODY]
    return document if isinstance(document, dict) else None


def parsed(value: bytes) -> Any:
    """Return the JSON document in *value*; None if it is none."""
    try:
        return read_json(value)
    except ValueError:
        return None


def objects_of(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def named_in(error: Mapping[str, Any], what: str) -> set[str]:
    context = error.get("context")
    named = context.get(what) if isinstance(context, dict) else None
    return {text_of(name) for name in (named if isinstance(named, list) else [named])} - {""}


def text_of(value: object) -> str:
    """Return a text, number or bool as a text; an empty one for anything else, which may be nested without an end."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _:
            return ""


def name_of(value: object) -> str:
    """Return an id or a name of HubSpot's; an empty text for what HubSpot never calls anything."""
    named = text_of(value)
    return named if len(named) <= LONGEST_NAME and named.isprintable() else ""


def words_of(value: object, longest: int = LONGEST_NAME) -> str:
    """Return words of HubSpot for people: at most *longest* characters, printable, without emails and tokens."""
    # HubSpot's messages quote invalid emails, and a proxy's may quote the request with its token.
    words = shortened(text_of(value), longest + LONGEST_EMAIL, _A_TOKEN, lambda _: "***")
    return printable(shortened(words, longest))


def number_in(text: str) -> float | None:
    """Return the number that *text* is; None if it is none, not a finite one or a very large one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e18 else None
