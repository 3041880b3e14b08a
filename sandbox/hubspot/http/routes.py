"""Routes: the operation of each path in each version of the API. Other paths are answered with 404."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sandbox.hubspot.http.answers import Answer, refuse
from sandbox.hubspot.http.auth import (
    CONTACTS_READ,
    CONTACTS_WRITE,
    DEFINE_EVENTS,
    EXPORT,
    SCHEMAS_READ,
    SCHEMAS_WRITE,
    SEND_EVENTS,
)
from sandbox.hubspot.http.calls import Call
from sandbox.hubspot.http.quota import QuotaKind
from sandbox.hubspot.operations import (
    account,
    associations,
    custom_events,
    event_definition_calls,
    limit_calls,
    note_calls,
    occurrence_calls,
    property_calls,
)
from sandbox.hubspot.operations.contacts import (
    contact_batch_calls,
    contact_records,
    export_calls,
    gdpr_deletion,
    merges,
    search_calls,
)
from sandbox.hubspot.records.portal import Portal


@dataclass(frozen=True, slots=True)
class Operation:
    """The operation of a path and method. The token needs one of `scopes`, if there are any."""

    handle: Callable[[Portal, Call], Answer]
    scopes: tuple[str, ...] = ()
    quota: QuotaKind = "calls"
    needs_token: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    path: str
    operation: Operation


_READ: Final = (CONTACTS_READ,)
_WRITE: Final = (CONTACTS_WRITE,)
_SEE_SCHEMA: Final = (SCHEMAS_READ, SCHEMAS_WRITE, CONTACTS_READ, CONTACTS_WRITE)
_CHANGE_SCHEMA: Final = (SCHEMAS_WRITE,)
_DEFINE: Final = (DEFINE_EVENTS,)
_SEND: Final = (SEND_EVENTS,)

_CONTACTS: Final = {
    ("POST", ""): Operation(contact_records.create, _WRITE),
    ("GET", "/{id}"): Operation(contact_records.read, _READ),
    ("PATCH", "/{id}"): Operation(contact_records.update, _WRITE),
    ("DELETE", "/{id}"): Operation(contact_records.archive, _WRITE),
    ("POST", "/batch/create"): Operation(contact_batch_calls.create, _WRITE),
    ("POST", "/batch/read"): Operation(contact_batch_calls.read, _READ),
    ("POST", "/batch/update"): Operation(contact_batch_calls.update, _WRITE),
    ("POST", "/batch/upsert"): Operation(contact_batch_calls.upsert, _WRITE),
    ("POST", "/batch/archive"): Operation(contact_batch_calls.archive, _WRITE),
    ("POST", "/search"): Operation(search_calls.search, _READ, quota="searches"),
    ("POST", "/merge"): Operation(merges.merge, _WRITE),
    ("POST", "/gdpr-delete"): Operation(gdpr_deletion.delete, _WRITE),
}
_NOTES: Final = {
    ("POST", ""): Operation(note_calls.create, _WRITE),
    ("GET", "/{id}"): Operation(note_calls.read, _READ),
    ("DELETE", "/{id}"): Operation(note_calls.archive, _WRITE),
    ("POST", "/batch/create"): Operation(note_calls.create_batch, _WRITE),
    ("POST", "/batch/read"): Operation(note_calls.read_batch, _READ),
    ("POST", "/batch/archive"): Operation(note_calls.archive_batch, _WRITE),
}
_CONTACTS_NOTES: Final = {
    ("POST", f"/{contact}/{note}/batch/read"): Operation(associations.read_notes, _READ, quota="associations")
    for contact in ("contacts", "contact", "0-1")
    for note in ("notes", "note", "0-46")
}
_A_CONTACTS_NOTES: Final = {
    ("GET", f"/{contact}/{{id}}/associations/{note}"): Operation(associations.list_notes, _READ, quota="associations")
    for contact in ("contacts", "contact", "0-1")
    for note in ("notes", "note", "0-46")
}
_PROPERTIES: Final = {
    ("GET", ""): Operation(property_calls.list_properties, _SEE_SCHEMA),
    ("POST", ""): Operation(property_calls.create_property, _CHANGE_SCHEMA),
    ("POST", "/batch/create"): Operation(property_calls.create_properties, _CHANGE_SCHEMA),
    ("GET", "/groups"): Operation(property_calls.list_groups, _SEE_SCHEMA),
    ("POST", "/groups"): Operation(property_calls.create_group, _CHANGE_SCHEMA),
    ("GET", "/groups/{name}"): Operation(property_calls.get_group, _SEE_SCHEMA),
    ("GET", "/{name}"): Operation(property_calls.get_property, _SEE_SCHEMA),
    ("PATCH", "/{name}"): Operation(property_calls.change_property, _CHANGE_SCHEMA),
    ("DELETE", "/{name}"): Operation(property_calls.archive_property, _CHANGE_SCHEMA),
}
_LIMITS: Final = {
    ("GET", "/custom-properties"): Operation(limit_calls.custom_properties, (CONTACTS_READ, CONTACTS_WRITE)),
    ("GET", "/records"): Operation(limit_calls.records, (CONTACTS_READ, CONTACTS_WRITE)),
}
_EXPORTS: Final = {
    ("POST", "/export/async"): Operation(export_calls.begin, (EXPORT,)),
    ("GET", "/export/async/tasks/{id}/status"): Operation(export_calls.status, (EXPORT,)),
    ("GET", "/export/{id}"): Operation(export_calls.details, (EXPORT,)),
}
_DOWNLOADS: Final = {
    ("GET", "/{name}"): Operation(export_calls.download, quota="none", needs_token=False),
}
_EVENTS: Final = {
    ("GET", "/event-definitions"): Operation(event_definition_calls.list_definitions, _DEFINE),
    ("POST", "/event-definitions"): Operation(event_definition_calls.create_definition, _DEFINE),
    ("GET", "/event-definitions/{name}"): Operation(event_definition_calls.get_definition, _DEFINE),
    ("PATCH", "/event-definitions/{name}"): Operation(event_definition_calls.change_definition, _DEFINE),
    ("DELETE", "/event-definitions/{name}"): Operation(event_definition_calls.delete_definition, _DEFINE),
    ("POST", "/event-definitions/{name}/property"): Operation(event_definition_calls.add_property, _DEFINE),
    ("POST", "/send"): Operation(custom_events.send, _SEND, quota="sending"),
    ("POST", "/send/batch"): Operation(custom_events.send_batch, _SEND, quota="sending"),
}
_OCCURRENCES: Final = {
    ("GET", ""): Operation(occurrence_calls.read),
}
_ACCOUNT: Final = {
    ("GET", "/details"): Operation(account.details),
    ("GET", "/api-usage/daily/private-apps"): Operation(account.daily_usage),
}
_TOKEN_INFO: Final = {
    ("POST", ""): Operation(account.token_info, quota="none", needs_token=False),
}

_TABLE: Final = (
    # v3 comes first, then the dated versions. Paths have an object type's name or its number.
    ("/crm/v3/objects/contacts", _CONTACTS),
    ("/crm/v3/objects/0-1", _CONTACTS),
    ("/crm/v3/objects/notes", _NOTES),
    ("/crm/v3/objects/0-46", _NOTES),
    # Version 4 of the associations belongs to version 3 of the objects.
    ("/crm/v4/associations", _CONTACTS_NOTES),
    ("/crm/v4/objects", _A_CONTACTS_NOTES),
    ("/crm/v3/properties/contacts", _PROPERTIES),
    ("/crm/v3/properties/0-1", _PROPERTIES),
    ("/crm/v3/limits", _LIMITS),
    ("/crm/v3/exports", _EXPORTS),
    ("/events/v3", _EVENTS),
    ("/events/v3/events", _OCCURRENCES),
    ("/account-info/v3", _ACCOUNT),
    ("/crm/objects/2026-03/contacts", _CONTACTS),
    ("/crm/objects/2026-03/0-1", _CONTACTS),
    ("/crm/objects/2026-03/notes", _NOTES),
    ("/crm/objects/2026-03/0-46", _NOTES),
    ("/crm/associations/2026-03", _CONTACTS_NOTES),
    ("/crm/objects/2026-03", _A_CONTACTS_NOTES),
    ("/crm/properties/2026-03/contacts", _PROPERTIES),
    ("/crm/properties/2026-03/0-1", _PROPERTIES),
    ("/crm/limits/2026-03", _LIMITS),
    ("/crm/exports/2026-03", _EXPORTS),
    ("/events/2026-03", _EVENTS),
    ("/events/event-occurrences/2026-03", _OCCURRENCES),
    ("/account-info/2026-03", _ACCOUNT),
    ("/crm/objects/2026-09/contacts", _CONTACTS),
    ("/crm/objects/2026-09/0-1", _CONTACTS),
    ("/crm/objects/2026-09/notes", _NOTES),
    ("/crm/objects/2026-09/0-46", _NOTES),
    ("/crm/associations/2026-09", _CONTACTS_NOTES),
    ("/crm/objects/2026-09", _A_CONTACTS_NOTES),
    ("/crm/properties/2026-09/contacts", _PROPERTIES),
    ("/crm/properties/2026-09/0-1", _PROPERTIES),
    ("/crm/limits/2026-09", _LIMITS),
    ("/crm/exports/2026-09", _EXPORTS),
    ("/events/2026-09", _EVENTS),
    ("/events/event-occurrences/2026-09", _OCCURRENCES),
    ("/account-info/2026-09", _ACCOUNT),
    (export_calls.DOWNLOADS, _DOWNLOADS),
    ("/oauth/v2/private-apps/get/access-token-info", _TOKEN_INFO),
)

_BY_PATH: Final[dict[str, dict[str, Route]]] = {}
_BY_LENGTH: Final[dict[int, dict[tuple[str, ...], dict[str, Route]]]] = {}
for _start, _operations in _TABLE:
    for (_method, _end), _operation in _operations.items():
        _path = _start + _end
        _segments = tuple(_path[1:].split("/"))
        if "{" in _path:
            _BY_LENGTH.setdefault(len(_segments), {}).setdefault(_segments, {})[_method] = Route(_path, _operation)
        else:
            _BY_PATH.setdefault(_path, {})[_method] = Route(_path, _operation)


def documented() -> Iterator[tuple[str, Route]]:
    """Yield the method and the route of every operation."""
    for methods in (*_BY_PATH.values(), *(methods for known in _BY_LENGTH.values() for methods in known.values())):
        yield from methods.items()


def find(call: Call, moved: Mapping[str, str]) -> Route:
    """Return a call's route, and set the call's path parameters. Raises Refused with 404 or 405.

    *moved* maps documented path prefixes to the prefixes that replace them in this portal.
    """
    for documented, actual in moved.items():
        if _begins(call.path, actual):
            route = _documented(call, (*documented[1:].split("/"), *call.segments[actual.count("/") :]))
            return replace(route, path=route.path.replace(documented, actual, 1))
        if _begins(call.path, documented):
            raise refuse(404, "Not Found")
    return _documented(call, call.segments)


def _begins(path: str, beginning: str) -> bool:
    return f"{path}/".startswith(f"{beginning}/")


def _documented(call: Call, segments: tuple[str, ...]) -> Route:
    methods = _BY_PATH.get("/" + "/".join(segments), {})
    if route := methods.get(call.method):
        return route
    for template, others in _BY_LENGTH.get(len(segments), {}).items():
        parameters = _parameters(template, segments)
        if parameters is not None:
            methods = methods | others
            if route := others.get(call.method):
                call.parameters = parameters
                return route
    if methods:
        raise refuse(405, "Method not allowed")
    raise refuse(404, "Not Found")


def _parameters(template: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    parameters = {}
    for expected, given in zip(template, segments, strict=True):
        if expected.startswith("{"):
            parameters[expected[1:-1]] = given
        elif expected != given:
            return None
    return parameters
