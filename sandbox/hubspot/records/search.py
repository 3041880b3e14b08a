"""Search: finds contacts by a query, as they were at an earlier time."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sandbox.hubspot.http.answers import invalid
from sandbox.hubspot.http.calls import as_list, as_object, as_objects, as_text, as_texts, is_number
from sandbox.hubspot.records.contacts import FIRST_STAGE, Contact
from sandbox.hubspot.records.updates import STAGE
from sandbox.hubspot.schema.properties import Schema
from sandbox.hubspot.schema.validation import InvalidValue, check_datetime

MOST_GROUPS: Final = 5
MOST_FILTERS_OF_A_GROUP: Final = 6
MOST_FILTERS: Final = 18
QUERIED: Final = ("email", "firstname", "lastname", "phone", "company", "hs_additional_emails")

_Held = Mapping[str, str]
_Condition = Callable[[_Held], bool]


@dataclass(frozen=True, slots=True)
class Found:
    contact: Contact
    properties: Mapping[str, str]


def find(schema: Schema, contacts: Iterable[Contact], body: Mapping[str, Any], until: str) -> list[Found]:
    """Return the matching contacts, sorted, as they were at *until*. Raises Refused for an invalid query."""
    matches = _condition(schema, body)
    words = as_text(body.get("query")).lower().split()
    found = [
        Found(contact, held)
        for contact in contacts
        if (held := as_of(contact, until)) is not None and matches(held) and _has_words(held, words)
    ]
    return _sorted(schema, found, as_list(body.get("sorts")))


def as_of(contact: Contact, until: str) -> _Held | None:
    """Return a contact's properties at *until*; None if it did not exist or was archived then."""
    if contact.created_at > until:
        return None
    if contact.archived:
        return contact.properties if contact.updated_at > until else None
    if contact.updated_at <= until:
        return contact.properties
    late = {name for write in contact.writes if write.at > until for name in write.properties}
    held = {name: value for name, value in contact.properties.items() if name not in late}
    if STAGE in late:
        held[STAGE] = FIRST_STAGE
    for write in contact.writes:
        if write.at <= until:
            held |= {name: value for name, value in write.properties.items() if name in late}
    return held


def _condition(schema: Schema, body: Mapping[str, Any]) -> _Condition:
    groups = [as_objects(as_object(group).get("filters")) for group in _groups(body)]
    if len(groups) > MOST_GROUPS or any(len(group) > MOST_FILTERS_OF_A_GROUP for group in groups):
        raise invalid(f"A search has at most {MOST_GROUPS} groups of {MOST_FILTERS_OF_A_GROUP} filters.")
    if sum(map(len, groups)) > MOST_FILTERS:
        raise invalid(f"A search has at most {MOST_FILTERS} filters.")
    conditions = [[_filter(schema, item) for item in group] for group in groups]
    return lambda held: not conditions or any(all(holds(held) for holds in group) for group in conditions)


def _groups(body: Mapping[str, Any]) -> Sequence[Any]:
    groups = as_list(body.get("filterGroups"))
    # Filters outside of any group form an additional group.
    return [*groups, {"filters": body["filters"]}] if body.get("filters") else groups


def _filter(schema: Schema, item: Mapping[str, Any]) -> _Condition:
    name, operator = as_text(item.get("propertyName")), as_text(item.get("operator"))
    if name not in schema.properties:
        raise invalid("There was a problem with the request.", errors=[{"message": f"unknown property {name}"}])
    comparable = _comparable(schema, name)
    value, values = as_text(item.get("value")), as_texts(item.get("values"))
    wanted, listed = comparable(value), {comparable(one) for one in values}
    of = _reader(name, comparable)
    conditions: dict[str, _Condition] = {
        "EQ": lambda held: of(held) == wanted,
        "NEQ": lambda held: of(held) != wanted,
        "IN": lambda held: of(held) in listed,
        "NOT_IN": lambda held: of(held) not in listed,
        "HAS_PROPERTY": lambda held: bool(held.get(name)),
        "NOT_HAS_PROPERTY": lambda held: not held.get(name),
        "LT": lambda held: _ordered(of(held), wanted, "<"),
        "LTE": lambda held: _ordered(of(held), wanted, "<="),
        "GT": lambda held: _ordered(of(held), wanted, ">"),
        "GTE": lambda held: _ordered(of(held), wanted, ">="),
        "CONTAINS_TOKEN": lambda held: _has_token(held.get(name, ""), value),
        "NOT_CONTAINS_TOKEN": lambda held: not _has_token(held.get(name, ""), value),
    }
    if operator not in conditions:
        raise invalid(f"Invalid input JSON on line 1, column 1: '{operator}' is no operator of a filter.")
    return conditions[operator]


def _reader(name: str, comparable: Callable[[str], Any]) -> Callable[[_Held], Any]:
    return lambda held: comparable(held[name]) if held.get(name) else None


def _comparable(schema: Schema, name: str) -> Callable[[str], Any]:
    """Return the conversion for comparing a property's values: to a number, a time, or lower-case text."""
    match schema.properties[name].definition["type"]:
        case "number":
            return _number
        case "date" | "datetime":
            return _moment
        case _:
            return str.lower


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(check_datetime(text if "T" in text or is_number(text) else f"{text}T00:00:00Z"))
    except InvalidValue:
        return None


def _ordered(held: Any, wanted: Any, sign: str) -> bool:
    if held is None or wanted is None:
        return False
    return bool(
        (held < wanted and sign[0] == "<") or (held > wanted and sign[0] == ">") or (held == wanted and sign[1:])
    )


def _has_token(held: str, wanted: str) -> bool:
    """Return whether the whole text or one of its tokens matches *wanted*, in which `*` matches anything."""
    pattern = re.compile(".*".join(re.escape(part) for part in wanted.lower().split("*")))
    tokens = [held.lower(), *re.split(r"[^\w]+", held.lower())]
    return any(pattern.fullmatch(token) for token in tokens)


def _has_words(held: _Held, words: Sequence[str]) -> bool:
    text = " ".join(held.get(name, "") for name in QUERIED).lower()
    return all(word in text for word in words)


def _sorted(schema: Schema, found: list[Found], sorts: Sequence[Any]) -> list[Found]:
    """Sort by the one property that *sorts* may name; without one, keep the order of creation. Raises Refused."""
    if not sorts:
        return found
    [first, *_] = sorts
    if isinstance(first, str):
        first = {"propertyName": first.lstrip("-"), "direction": "DESCENDING" if first[:1] == "-" else "ASCENDING"}
    name = as_text(as_object(first).get("propertyName"))
    if name not in schema.properties or len(sorts) > 1:
        raise invalid("There was a problem with the request.", errors=[{"message": f"can not sort by {name}"}])
    of = _reader(name, _comparable(schema, name))
    valued = [one for one in found if of(one.properties) is not None]
    empty = [one for one in found if of(one.properties) is None]
    valued.sort(key=lambda one: of(one.properties), reverse=first.get("direction") == "DESCENDING")
    return [*valued, *empty]
