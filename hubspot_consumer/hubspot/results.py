"""Results: what the bodies of HubSpot's answers say. Besides this package only the probe reads statuses and bodies,
which are what it asks about.

Every field of a body is treated as optional, whatever the documentation says. Sources: HubSpot's guides to error
handling and contacts, and recorded traffic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

from hubspot_consumer.hubspot.bodies import body_of, name_of, named_in, object_in, objects_of, text_of
from hubspot_consumer.hubspot.outcomes import (
    Delivered,
    Outcome,
    Refusal,
    Rejected,
    RetryLater,
    is_forbidden,
)
from hubspot_consumer.hubspot.requests import Note, Upsert, event_of_note
from hubspot_consumer.hubspot.schema import CHOSEN
from hubspot_consumer.hubspot.status_codes import (
    Answer,
    no_id_property,
    object_answered,
    read_item_refusal,
    read_refusal,
    succeeded,
)

Input = TypeVar("Input", bound=Upsert | Note)
"""An input of a batch. Its trace id is unique in its call."""


@dataclass
class WriteAnswer(Generic[Input]):
    """One outcome per trace id. The outcome of each input in `unclear` is known only after another, smaller call.

    `elsewhere` are rejected upserts by HUBSPOT_ID_PROPERTY: HubSpot has a contact with the email, and found none by the
    property.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    unclear: list[Input] = field(default_factory=list)
    elsewhere: list[Input] = field(default_factory=list)

    @classmethod
    def of_all(cls, inputs: Sequence[Input], outcome: Outcome) -> Self:
        """Return an answer with the same outcome for every input."""
        return cls(outcomes={one.trace_id: outcome for one in inputs})


def read_written(response: Answer, inputs: Sequence[Input]) -> WriteAnswer[Input]:
    """Return the outcome of each of *inputs*."""
    if not succeeded(response) or (body := object_in(response)) is None:
        return _none_written(read_refusal(response), inputs)
    answer = WriteAnswer[Input]()
    # An answer has no more of either than inputs; comparing many more with each input would take seconds.
    errors = objects_of(body.get("errors"))[: len(inputs)]
    unnamed = _add_results(answer, objects_of(body.get("results"))[: len(inputs)], inputs)
    for error in errors:
        for trace_id in _traces(error, inputs):
            answer.outcomes[trace_id] = read_item_refusal(error, response)
    left = [one for one in inputs if one.trace_id not in answer.outcomes]
    if unnamed and len(unnamed) == len(left):
        # Each was written, but whose id is whose is clear for one alone. Nobody uses the id of a note.
        if len(left) == 1 or isinstance(left[0], Note):
            answer.outcomes |= zip((one.trace_id for one in left), unnamed, strict=True)
        else:
            answer.unclear = left
    elif any(not _traces(error, inputs) for error in errors) and len(inputs) > 1:
        answer.unclear = left
    else:
        # A 2xx answer can have fewer results than inputs: HubSpot did not write the others.
        answer.outcomes |= {one.trace_id: RetryLater("HubSpot's answer leaves the input out") for one in left}
    return answer


def of_id_property(answer: WriteAnswer[Upsert], inputs: Sequence[Upsert], id_property: str) -> WriteAnswer[Upsert]:
    """Return the answer to an upsert by *id_property*, with the inputs whose contact is `elsewhere`."""
    for one in inputs:
        outcome = answer.outcomes.get(one.trace_id)
        if not isinstance(outcome, Rejected):
            continue
        if id_property in outcome.unwritable:
            answer.outcomes[one.trace_id] = no_id_property(outcome.detail)
        elif outcome.conflict:
            answer.elsewhere.append(one)
    return answer


def _none_written(refusal: Refusal, inputs: Sequence[Input]) -> WriteAnswer[Input]:
    if isinstance(refusal, Rejected) and len(inputs) > 1:
        # One invalid input, or two inputs for the same contact, can fail the whole call.
        unclear = [one for one in inputs if isinstance(one, Note) or refusal.unwritable.isdisjoint(one.properties)]
        return WriteAnswer({one.trace_id: refusal for one in inputs if one not in unclear}, unclear)
    return WriteAnswer.of_all(inputs, refusal)


def _add_results(
    answer: WriteAnswer[Input], results: Sequence[Mapping[str, Any]], inputs: Sequence[Input]
) -> list[Delivered]:
    """Add the outcomes that *results* have; return those of results without a trace id that belong to no input."""
    unnamed = []
    for result in results:
        contact_id, created = name_of(result.get("id")), result.get("new") is True
        if contact_id and (one := _asked(result, inputs)) and one.trace_id not in answer.outcomes:
            answer.outcomes[one.trace_id] = Delivered(contact_id, _kept(one, result), created=created)
        elif contact_id and result.get("objectWriteTraceId") is None:
            unnamed.append(Delivered(contact_id, created=created))
    return unnamed


def read_notes(response: Answer, notes: Sequence[Note]) -> WriteAnswer[Note]:
    """Return the outcome of each note. Only notes that were certainly not written are unclear: a second copy would
    stay.
    """
    answer = read_written(response, notes)
    if succeeded(response):
        for note in answer.unclear:
            answer.outcomes[note.trace_id] = RetryLater("HubSpot's answer does not say which notes it refused")
        answer.unclear = []
    return answer


@dataclass(frozen=True)
class NotesOfContacts:
    """Ids of the notes of contacts. `more` has each contact with further notes, and the cursor of its next page."""

    note_ids: list[str]
    more: list[tuple[str, str]]


def read_notes_of_contacts(response: Answer, contacts: int) -> NotesOfContacts | Refusal:
    """Return a page of the notes of so many *contacts*. HubSpot's error for a contact without notes is ignored."""
    body = object_answered(response)
    listed = _listed(body) if isinstance(body, dict) else body
    if not isinstance(listed, list):
        return listed
    found = NotesOfContacts([], [])
    for result in listed[:contacts]:
        found.note_ids.extend(filter(None, (name_of(to.get("toObjectId")) for to in objects_of(result.get("to")))))
        origin, after = result.get("from"), _next_page(result)
        if after is not None and isinstance(origin, dict) and (contact_id := name_of(origin.get("id"))):
            found.more.append((contact_id, after))
    return found


def read_noted_events(response: Answer, notes: int) -> set[str] | Refusal:
    """Return the ids of the events that a page of notes describes; archived notes count as absent."""
    body = object_answered(response)
    if not isinstance(body, dict):
        return body
    results = objects_of(body.get("results"))
    gone = {name for error in objects_of(body.get("errors")) for name in named_in(error, "ids")}
    if len(results) + len(gone) < notes:
        return RetryLater("HubSpot's answer leaves notes out")
    bodies = [result["properties"] for result in results if isinstance(result.get("properties"), dict)]
    events = [event_of_note(text_of(properties.get("hs_note_body"))) for properties in bodies]
    return {event for event in events if event is not None}


def read_allowed(response: Answer) -> bool | Refusal:
    """Return whether the portal's tier and the token's scopes allow a call."""
    answered = object_answered(response)
    if isinstance(answered, dict):
        return True
    return False if is_forbidden(answered) else answered


def read_send(response: Answer, entries: int) -> Refusal | None:
    """Return None if HubSpot accepted all *entries* of the call, or had the only one already."""
    if succeeded(response):
        # An answer without a body is HubSpot's usual one.
        errors = objects_of(body_of(response).get("errors"))
        if not errors:
            return None
        # A partially accepted call was never observed. If it occurs, the uuids make it safe to send all entries again.
        refusal = read_item_refusal(errors[0], response)
    else:
        refusal = read_refusal(response)
    # A duplicate can fail a whole call, whose other entries were not accepted then.
    if isinstance(refusal, Rejected) and entries == 1 and _says_duplicate(refusal.detail):
        return None
    return refusal


@dataclass(frozen=True)
class Page:
    """A page of a list. `after` is the cursor of the next page."""

    items: list[dict[str, Any]]
    after: str | None


def read_page(response: Answer) -> Page | Refusal:
    """Return a page of a list."""
    body = object_answered(response)
    if not isinstance(body, dict):
        return body
    listed = _listed(body)
    return listed if isinstance(listed, RetryLater) else Page(listed, _next_page(body))


def _listed(body: Mapping[str, Any]) -> list[dict[str, Any]] | RetryLater:
    results = body.get("results")
    # Without the check, a list that can't be read would be one of nothing.
    return objects_of(results) if isinstance(results, list) else RetryLater("HubSpot's answer has no results")


def _next_page(body: Mapping[str, Any]) -> str | None:
    paging = body.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    after = following.get("after") if isinstance(following, dict) else None
    return text_of(after) or None


def read_created(response: Answer) -> Refusal | None:
    """Return None if the object exists now: this call or an earlier one (409) created it."""
    refusal = None if succeeded(response) else read_refusal(response)
    return None if isinstance(refusal, Rejected) and refusal.conflict else refusal


def _kept(written: Upsert | Note, result: Mapping[str, Any]) -> frozenset[str]:
    stored = result.get("properties")
    if not isinstance(written, Upsert) or not isinstance(stored, dict):
        return frozenset()
    return frozenset(
        name
        for name, value in written.properties.items()
        if name in CHOSEN and stored.get(name) is not None and text_of(stored[name]).lower() != value.lower()
    )


def _asked(result: Mapping[str, Any], inputs: Sequence[Input]) -> Input | None:
    # Results may have any order. The trace id identifies an input; the email does not if it is a secondary one.
    trace_id = result.get("objectWriteTraceId")
    if trace_id is not None:
        return next((one for one in inputs if one.trace_id == trace_id), None)
    properties = result.get("properties")
    email = text_of(properties.get("email")).lower() if isinstance(properties, dict) else ""
    named = (one for one in inputs if one.contact_key == email or _updates(one, result))
    return next(named, inputs[0] if len(inputs) == 1 else None)


def _updates(one: Upsert | Note, result: Mapping[str, Any]) -> bool:
    """Return whether an input names the contact of *result* by HubSpot's id."""
    return isinstance(one, Upsert) and one.contact_id is not None and one.contact_id == name_of(result.get("id"))


def _traces(error: Mapping[str, Any], inputs: Sequence[Upsert | Note]) -> list[str]:
    traces = named_in(error, "objectWriteTraceId")
    asked = [upsert.trace_id for upsert in inputs]
    return [trace for trace in asked if trace in traces] or (asked if len(asked) == 1 else [])


def _says_duplicate(detail: str) -> bool:
    return any(word in detail.lower() for word in ("duplicate", "already exists", "already been"))
