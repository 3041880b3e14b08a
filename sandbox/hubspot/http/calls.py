"""A call: one request to HubSpot's API, parsed for the operations."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from sandbox.hubspot.http.answers import Refused, error, invalid

# The digits of the largest 64-bit number.
MOST_DIGITS: Final = 19
_UNREAD: Final = object()
# The type and token names in the error messages of HubSpot's JSON library, as recorded for a batch.
_BATCH: Final = "com.hubspot.inbounddb.publicobject.core.v2.SimplePublicObjectBatchInput$Json"
_TOKENS: Final[Mapping[type, tuple[str, str]]] = {
    list: ("Array", "START_ARRAY"),
    dict: ("Object", "START_OBJECT"),
    str: ("String", "VALUE_STRING"),
    bool: ("Boolean", "VALUE_TRUE"),
    int: ("Integer", "VALUE_NUMBER_INT"),
    float: ("Floating-point", "VALUE_NUMBER_FLOAT"),
}


@dataclass(slots=True)
class Call:
    method: str
    segments: tuple[str, ...]
    query: list[tuple[str, str]]
    token: str
    body: bytes
    host: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    # Refuses single inputs of a batch, as a fault demands.
    refuse_input: Callable[[dict[str, Any]], Exception | None] | None = None
    _json: Any = _UNREAD

    @property
    def path(self) -> str:
        return "/" + "/".join(self.segments)

    def json(self) -> Any:
        """Return the decoded body. Raises Refused if it is not JSON."""
        if self._json is _UNREAD:
            try:
                self._json = json.loads(self.body)
            except (ValueError, RecursionError):
                raise not_json() from None
        return self._json

    def replace_json(self, body: Any) -> None:
        self._json = body

    def inputs(self) -> list[dict[str, Any]] | None:
        """Return the inputs of a batch; None without any, which HubSpot treats as an empty batch. Raises Refused."""
        body = self.json()
        inputs = body.get("inputs") if isinstance(body, dict) else None
        return None if inputs is None else as_objects(inputs)

    def object(self) -> dict[str, Any]:
        """Return the body as a JSON object. Raises Refused if it is not one."""
        return as_object(self.json())

    def count_inputs(self) -> int | None:
        """Return the number of inputs of a batch; None for any other call."""
        try:
            body = self.json() if self.body else None
        except Refused:
            return None
        inputs = body.get("inputs") if isinstance(body, dict) else None
        return len(inputs) if isinstance(inputs, list) else None

    def argument(self, name: str) -> str | None:
        return next((value for key, value in self.query if key == name), None)

    def number(self, name: str, default: int) -> int:
        """Return an argument as a number; *default* if it is missing or not a number."""
        text = self.argument(name) or ""
        return int(text) if is_number(text) else default

    def listed(self, name: str) -> list[str]:
        """Return the values of a list argument, given as `a,b` or repeated."""
        return [item for key, value in self.query if key == name for item in value.split(",") if item]


def read_query(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []


def not_json(value: Any = None) -> Refused:
    """Return the refusal of an unreadable body or of a *value* of the wrong JSON type; it has no category."""
    kind, token = next((named for of, named in _TOKENS.items() if isinstance(value, of)), ("Null", "VALUE_NULL"))
    words = f"Cannot deserialize value of type `{_BATCH}` from {kind} value (token `JsonToken.{token}`)"
    return Refused(error(400, f"Invalid input JSON on line 1, column 1: {words}"))


def as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise not_json(value)
    return value


def as_list(value: Any) -> list[Any]:
    """Return a JSON array; null is empty. Raises Refused for other values."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise not_json(value)
    return value


def as_objects(value: Any) -> list[dict[str, Any]]:
    return [as_object(item) for item in as_list(value)]


def as_texts(value: Any) -> list[str]:
    return [as_text(item) for item in as_list(value)]


def required_text(body: Mapping[str, Any], name: str) -> str:
    """Return a field that the specification requires, as a string, maybe empty. Raises Refused if it is missing."""
    if body.get(name) is None:
        raise not_set([name])
    return as_text(body[name])


def not_set(names: Iterable[str]) -> Refused:
    words = f"Some required fields were not set: [{', '.join(names)}]"
    return invalid(f"Invalid input JSON on line 1, column 1. {words}")


def is_number(text: str) -> bool:
    """Return whether *text* is a number that HubSpot can read. `str.isdigit` alone also accepts `²`."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def as_text(value: Any) -> str:
    """Return a scalar as a string, as HubSpot's JSON reader does; null is empty. Raises Refused for other values."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise not_json(value)


def repeated(values: Iterable[str]) -> list[str]:
    """Return the values that occur more than once, each once, in order."""
    seen: set[str] = set()
    again: dict[str, None] = {}
    for value in values:
        if value in seen:
            again[value] = None
        seen.add(value)
    return list(again)
