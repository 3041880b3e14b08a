"""Calls that read the visible occurrences of a contact."""

from datetime import timedelta
from typing import Any, Final

from sandbox.hubspot.clock import iso
from sandbox.hubspot.http.answers import Answer, invalid
from sandbox.hubspot.http.calls import Call
from sandbox.hubspot.operations.event_definition_calls import check_tier
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.records.timeline import Occurrence

PAGE: Final = 100


def read(portal: Portal, call: Call) -> Answer:
    """Return a contact's occurrences, newest first. An occurrence is visible `event_visibility_s` after acceptance."""
    check_tier(portal)
    kind, named = call.argument("objectType") or "", call.argument("objectId") or ""
    if kind.lower() not in ("contact", "contacts", "0-1") or not named:
        raise invalid("The arguments objectType and objectId are required.")
    until = iso(portal.clock.now() - timedelta(seconds=portal.settings.event_visibility_s))
    event_type = call.argument("eventType")
    contact = portal.contacts.by_id(named)
    visible = [
        occurrence
        for occurrence in (portal.timeline.occurrences_of(contact) if contact else ())
        if occurrence.accepted_at <= until and event_type in (None, occurrence.event_name)
    ]
    visible.sort(key=lambda occurrence: occurrence.occurred_at, reverse=True)
    start, limit = call.number("after", 0), call.number("limit", PAGE)
    body: dict[str, Any] = {"results": [_shown(occurrence) for occurrence in visible[start : start + limit]]}
    if start + limit < len(visible):
        body["paging"] = {"next": {"after": str(start + limit)}}
    return Answer(200, body)


def _shown(occurrence: Occurrence) -> dict[str, Any]:
    return {
        "objectType": "CONTACT",
        "objectId": occurrence.contact_id,
        "eventType": occurrence.event_name,
        "occurredAt": occurrence.occurred_at,
        "id": occurrence.uuid,
        "properties": dict(occurrence.properties),
    }
