"""Custom events: calls that send occurrences. The answer is 204 without a body, which confirms no processing."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from sandbox.hubspot.http.answers import Answer, Refused, invalid, refuse
from sandbox.hubspot.http.auth import SEND_EVENTS, missing_scopes
from sandbox.hubspot.http.calls import Call, as_object, as_text, not_set
from sandbox.hubspot.operations.event_definition_calls import LONGEST_NAME, unknown_event
from sandbox.hubspot.records.event_definitions import EventDefinition
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.records.timeline import Occurrence
from sandbox.hubspot.schema import emails
from sandbox.hubspot.schema.validation import InvalidValue, check_datetime, has_microseconds, length

MOST_OCCURRENCES: Final = 500
MOST_PROPERTIES: Final = 50
LONGEST_VALUE: Final = 256
LONGEST_URL: Final = 1_024
URLS: Final = frozenset({"hs_url", "hs_referrer", "hs_link", "url", "referrer", "link"})


def send(portal: Portal, call: Call) -> Answer:
    _check_tier(portal)
    _accept(portal, [_occurrence(portal, call.object())])
    return Answer(204)


def send_batch(portal: Portal, call: Call) -> Answer:
    """Accept a batch. A bad occurrence makes the whole call fail, or is skipped, by the setting `bad_occurrence`."""
    _check_tier(portal)
    inputs = call.inputs()
    if inputs is None:
        raise not_set(["inputs"])
    if len(inputs) > MOST_OCCURRENCES:
        raise invalid(f"The maximum number of events in a batch request is {MOST_OCCURRENCES}.")
    occurrences = [_occurrence_or_none(portal, item) for item in inputs]
    _accept(portal, [occurrence for occurrence in occurrences if occurrence])
    return Answer(204)


def _check_tier(portal: Portal) -> None:
    if not portal.settings.custom_events:
        raise missing_scopes((SEND_EVENTS,))


def _accept(portal: Portal, occurrences: list[Occurrence]) -> None:
    timeline = portal.timeline
    if portal.settings.duplicate_uuid != "drop":
        names = [(occurrence.event_name, occurrence.uuid) for occurrence in occurrences]
        again = [uuid for name, uuid in names if timeline.holds(name, uuid) or names.count((name, uuid)) > 1]
        if again:
            words, context = f"Event with uuid {again[0]} already exists.", {"uuid": sorted(set(again))}
            if portal.settings.duplicate_uuid == "conflict":
                raise refuse(409, words, "CONFLICT", context=context)
            if portal.settings.duplicate_uuid == "other_words":
                raise invalid("The event was refused.")
            raise invalid(words, context=context)
    for occurrence in occurrences:
        timeline.add(occurrence)


def _occurrence_or_none(portal: Portal, body: Mapping[str, Any]) -> Occurrence | None:
    try:
        return _occurrence(portal, body)
    except Refused:
        if portal.settings.bad_occurrence == "skip":
            return None
        raise


def _occurrence(portal: Portal, body: Mapping[str, Any]) -> Occurrence:
    name = as_text(body.get("eventName"))
    definition = portal.event_definitions.qualified(name)
    if definition is None:
        raise unknown_event(name)
    properties = _properties(definition, as_object(body.get("properties")))
    contact_id, email = _subject(portal, body)
    accepted_at = portal.clock.timestamp()
    return Occurrence(
        uuid=as_text(body.get("uuid")) or str(uuid4()),
        event_name=name,
        contact_id=contact_id,
        email=email,
        occurred_at=_occurred_at(portal, body.get("occurredAt")) or accepted_at,
        accepted_at=accepted_at,
        properties=properties,
    )


def _subject(portal: Portal, body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the contact id and email of an occurrence. An unknown contact is neither refused nor created."""
    named, email = as_text(body.get("objectId")), emails.normalised(as_text(body.get("email")))
    if not (named or email or body.get("utk")):
        raise invalid("One of the fields objectId, email and utk is required.")
    contact = portal.contacts.by_id(named) if named else portal.contacts.by_email(email)
    if contact:
        return contact.id, contact.email
    return None, email or None


def _properties(definition: EventDefinition, values: Mapping[str, Any]) -> dict[str, str]:
    if len(values) > MOST_PROPERTIES:
        raise invalid(f"An event has at most {MOST_PROPERTIES} properties.")
    taken: dict[str, str] = {}
    for given, value in values.items():
        name, text = given.lower(), as_text(value)
        if len(name) > LONGEST_NAME:
            raise invalid(f"The name of an event property has at most {LONGEST_NAME} characters.")
        if name not in definition.properties and not (definition.takes_default_properties and name.startswith("hs_")):
            raise invalid(
                f'Property "{name}" does not exist on the event {definition.shown["fullyQualifiedName"]}',
                errors=[{"message": f'Property "{name}" does not exist', "code": "PROPERTY_DOESNT_EXIST"}],
            )
        if length(text) > (LONGEST_URL if name in URLS else LONGEST_VALUE):
            raise invalid(f'The value of the property "{name}" is too long.')
        taken[name] = text
    return taken


def _occurred_at(portal: Portal, value: Any) -> str | None:
    text = as_text(value)
    if not text:
        return None
    try:
        moment = check_datetime(text)
    except InvalidValue as fault:
        raise invalid(f"Invalid input JSON on line 1, column 1: occurredAt: {fault.message}") from None
    if portal.settings.microseconds == "refuse" and has_microseconds(text):
        raise invalid(f"Invalid input JSON on line 1, column 1: occurredAt: {text} was not a valid long.")
    return moment
