"""Differences between the portal's schema and ours.

The input is a list of definitions as HubSpot returns them. Every field is optional; an absent field is no difference.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hubspot_consumer.hubspot.account import event_of
from hubspot_consumer.hubspot.bodies import text_of, words_of
from hubspot_consumer.hubspot.paths import Paths
from hubspot_consumer.hubspot.schema import (
    PROPERTIES,
    Property,
    amount_of,
    card_of,
    event_definition,
    event_name,
)
from schemas.events import EVENT_TYPES

_A_NAME: Final = re.compile("[A-Za-z0-9_-]{1,200}")

Definition = Mapping[str, Any]

BY_HAND: Final = "change it in HubSpot by hand"
ANOTHER_NAME: Final = (
    "set HUBSPOT_ID_PROPERTY to the name of a new property, since HubSpot makes one unique only when it is created"
)


@dataclass(frozen=True)
class Missing:
    """A missing definition or card: its description, and the method, path and body of the call that creates it.

    Without one that is `optional`, workers write everything else.
    """

    what: str
    path: str
    definition: Definition
    optional: bool = False
    method: str = "POST"


@dataclass(frozen=True)
class Mismatch:
    """A definition that exists and differs. Unless it is `harmless`, HubSpot refuses or misreads our values."""

    what: str
    harmless: bool = False
    remedy: str = BY_HAND


@dataclass(frozen=True)
class Differences:
    """Definitions to create, in this order, and those that a person has to change: no program changes any.

    `no_custom_events` is HubSpot's refusal if the tier or the token's scopes do not allow custom events.
    """

    missing: Sequence[Missing] = ()
    mismatches: Sequence[Mismatch] = ()
    no_custom_events: str | None = None


def of_properties(listed: Sequence[Definition], paths: Paths, ours: Sequence[Property] = PROPERTIES) -> Differences:
    """Compare the contact properties that the portal lists, including archived ones, with *ours*."""
    known = {text_of(definition.get("name")): definition for definition in listed}
    missing = [
        Missing(f"property {wanted.name}", paths.properties, wanted.definition(), wanted.optional)
        for wanted in ours
        if wanted.name not in known
    ]
    mismatches = [
        replace(fault, what=f"property {wanted.name} {fault.what}")
        for wanted in ours
        if wanted.name in known
        for fault in _property_faults(wanted, known[wanted.name])
    ]
    return Differences(missing, mismatches)


def of_events(listed: Sequence[Definition], paths: Paths) -> Differences:
    """Compare the event definitions that the portal lists, with their properties, with ours."""
    known = {event_of(definition): definition for definition in listed}
    missing: list[Missing] = []
    mismatches: list[Mismatch] = []
    for event_type in EVENT_TYPES:
        name, wanted = event_name(event_type), event_definition(event_type)
        if (definition := known.get(name)) is None:
            missing.append(Missing(f"event {name}", paths.event_definitions, wanted))
        elif definition.get("archived") is True:
            mismatches.append(Mismatch(f"event {name} is archived, and no other can have its name"))
        else:
            differences = _of_event_properties(name, definition, wanted["propertyDefinitions"], paths)
            missing += differences.missing
            mismatches += differences.mismatches
    return Differences(missing, mismatches)


def missing_cards(listed: Sequence[Definition], paths: Paths) -> list[Missing]:
    """Return the cards of events whose definitions have no template; one that people have changed is left as it is.

    HubSpot takes no templates when a definition is created, so a missing definition lacks its card too.
    """
    known = {event_of(definition): definition for definition in listed}
    lacking = [
        (event_type, definition)
        for event_type in EVENT_TYPES
        if not (definition := known.get(event_name(event_type), {})).get("headerTemplate")
        and definition.get("archived") is not True
    ]
    return [
        _card(event_type, _path(definition, event_name(event_type), paths.cards)) for event_type, definition in lacking
    ]


def _card(event_type: str, path: str) -> Missing:
    card, properties = card_of(event_type), event_definition(event_type)["propertyDefinitions"]
    order = [{"name": one["name"], "displayOrder": place, "hidden": False} for place, one in enumerate(properties)]
    body = {"headerTemplate": card.header, "detailTemplate": card.detail, "propertyOrder": order}
    return Missing(f"card of event {event_name(event_type)}", path, body, optional=True, method="PATCH")


def _property_faults(wanted: Property, known: Definition) -> Iterator[Mismatch]:
    if known.get("archived") is True:
        # To create the name again would restore the property against the intention of the person who archived it.
        yield Mismatch("is archived", harmless=wanted.optional)
        return
    kind, field, options = known.get("type"), known.get("fieldType"), known.get("options")
    if kind not in (None, wanted.type):
        yield Mismatch(f"is of type {_quoted(kind)}, and should be {wanted.type}")
    elif field not in (None, wanted.field_type):
        yield Mismatch(f"has the fieldType {_quoted(field)}, and should have {wanted.field_type}", harmless=True)
    if kind == wanted.type and isinstance(options, list):
        there = {text_of(option.get("value")) for option in options if isinstance(option, dict)}
        if lacking := [option for option in wanted.options if option not in there]:
            yield Mismatch(f"lacks the options {', '.join(lacking)}")
    if wanted.ours and known.get("hidden") is False:
        yield Mismatch("is not hidden, so that people may edit it", harmless=True)
    metadata = known.get("modificationMetadata")
    if known.get("calculated") is True or (isinstance(metadata, dict) and metadata.get("readOnlyValue") is True):
        yield Mismatch("is read-only")
    if known.get("hasUniqueValue") is True and not wanted.unique:
        yield Mismatch("has hasUniqueValue, and contacts share values")
    if known.get("hasUniqueValue") is False and wanted.unique:
        yield Mismatch("is not unique, so that no contact can be found by it", remedy=ANOTHER_NAME)


def _of_event_properties(name: str, known: Definition, wanted: Sequence[Definition], paths: Paths) -> Differences:
    listed = known.get("properties")
    if not isinstance(listed, list):
        return Differences()
    types = {text_of(one.get("name")): one.get("type") for one in listed if isinstance(one, dict)}
    path = f"{_path(known, name, paths.event_definitions)}/property"
    # Where a definition lacks amounts as people read them, workers send none.
    amounts = {amount_of(one["name"]) for one in wanted}
    missing = [
        Missing(f"property {one['name']} of event {name}", path, one, optional=one["name"] in amounts)
        for one in wanted
        if one["name"] not in types
    ]
    mismatches = [
        Mismatch(f"property {one['name']} of event {name} is of type {_quoted(kind)}, and should be {one['type']}")
        for one in wanted
        if (kind := types.get(one["name"])) is not None and kind != one["type"]
    ]
    return Differences(missing, mismatches)


def _path(known: Definition, name: str, definitions: str) -> str:
    """Return the path of an event definition below that of all *definitions*."""
    full_name = text_of(known.get("fullyQualifiedName"))
    # The name becomes a part of a path, so one of other characters must not lead elsewhere.
    return f"{definitions}/{full_name if _A_NAME.fullmatch(full_name) else name}"


def _quoted(kind: object) -> str:
    return words_of(kind) or "no known kind"
