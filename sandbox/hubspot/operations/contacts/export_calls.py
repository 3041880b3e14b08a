"""Calls about exports: files with the properties of all contacts, or of those that match."""

import csv
import zipfile
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from io import BytesIO, StringIO
from typing import Any, Final
from zoneinfo import ZoneInfo

from sandbox.hubspot.clock import iso
from sandbox.hubspot.http.answers import Answer, error, invalid, not_found
from sandbox.hubspot.http.calls import Call, as_list, as_object, as_text, as_texts, not_set
from sandbox.hubspot.records.exports import MOST_A_DAY, Export
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.records.search import find

DOWNLOADS: Final = "/exported-files"
LARGEST_CSV: Final = 2 * 1024 * 1024
MOST_GROUPS: Final = 3
MOST_FILTERS_OF_A_GROUP: Final = 3
RECORD_ID: Final = "Record ID"
_CONTACTS: Final = frozenset({"CONTACT", "CONTACTS", "0-1"})
_REQUIRED: Final = ("exportType", "format", "exportName", "language", "objectType", "objectProperties")
_STATES: Final = {"PENDING": "ENQUEUED", "PROCESSING": "PROCESSING", "COMPLETE": "DONE"}


def begin(portal: Portal, call: Call) -> Answer:
    body = call.object()
    missing = [name for name in _REQUIRED if not body.get(name)]
    if missing:
        raise not_set(missing)
    _check(portal, body)
    if portal.exports.begun_today() >= MOST_A_DAY:
        return error(429, f"You have reached your limit of {MOST_A_DAY} exports in 24 hours.", "RATE_LIMITS")
    export = portal.exports.add(body, partial(_file, portal, body), portal.settings.export_s)
    status = f"https://{call.host}{call.path}/tasks/{export.id}/status"
    return Answer(202, {"id": export.id, "links": {"status": status}})


def status(portal: Portal, call: Call) -> Answer:
    export = _named(portal, call)
    stage = portal.exports.status(export)
    times = {"requestedAt": export.requested_at, "startedAt": export.begins_at, "completedAt": export.ends_at}
    body: dict[str, Any] = {"status": stage, **{name: iso(time) for name, time in times.items()}}
    if stage == "COMPLETE":
        # HubSpot's link leads to another host, which must not be told the token.
        body["result"] = f"http://{call.host}{DOWNLOADS}/{portal.exports.link(export)}"
    return Answer(200, body)


def details(portal: Portal, call: Call) -> Answer:
    export = _named(portal, call)
    stage = portal.exports.status(export)
    shown = {name: export.body[name] for name in ("exportName", "exportType", "objectProperties")}
    created, updated = iso(export.requested_at), iso(min(export.ends_at, portal.clock.now()))
    shown |= {"id": export.id, "objectType": "0-1", "exportState": _STATES[stage]}
    return Answer(200, {**shown, "recordCount": export.rows, "createdAt": created, "updatedAt": updated})


def download(portal: Portal, call: Call) -> Answer:
    export = portal.exports.linked(call.parameters["name"])
    if export is None or export.content is None:
        return Answer(403, "<Error><Code>AccessDenied</Code></Error>", media_type="application/xml")
    zipped = len(export.content) > LARGEST_CSV
    name = f"{as_text(export.body['exportName'])}.csv"
    content, media_type = (_zipped(name, export.content), "application/zip") if zipped else (export.content, "text/csv")
    return Answer(200, content, media_type=media_type)


def _check(portal: Portal, body: Mapping[str, Any]) -> None:
    if as_text(body["objectType"]).upper() not in _CONTACTS or body["exportType"] != "VIEW":
        raise invalid("The simulator exports views of contacts alone.")
    if as_text(body["format"]).upper() != "CSV":
        raise invalid("The simulator exports CSV alone.")
    search = as_object(body.get("publicCrmSearchRequest") or {})
    groups = as_list(search.get("filterGroups"))
    if len(groups) > MOST_GROUPS or any(
        len(as_list(as_object(group).get("filters"))) > MOST_FILTERS_OF_A_GROUP for group in groups
    ):
        raise invalid(f"An export has at most {MOST_GROUPS} groups of {MOST_FILTERS_OF_A_GROUP} filters.")
    as_texts(body["objectProperties"])
    as_texts(body.get("exportInternalValuesOptions"))
    find(portal.schema, [], search, "")


def _named(portal: Portal, call: Call) -> Export:
    export = portal.exports.by_id.get(call.parameters["id"])
    if export is None:
        raise not_found()
    return export


def _file(portal: Portal, body: Mapping[str, Any]) -> tuple[int, bytes]:
    """Return the number of rows and the CSV: a column for the record id, then those properties that exist."""
    names = [name for name in as_texts(body["objectProperties"]) if name in portal.schema.properties]
    options = as_texts(body.get("exportInternalValuesOptions"))
    search = as_object(body.get("publicCrmSearchRequest") or {})
    found = find(portal.schema, portal.contacts.all(), search, portal.clock.timestamp())
    text = StringIO(newline="")
    rows = csv.writer(text)
    definitions = [portal.schema.properties[name].definition for name in names]
    rows.writerow([RECORD_ID, *(known["name" if "NAMES" in options else "label"] for known in definitions)])
    zone = ZoneInfo(portal.settings.time_zone) if portal.settings.export_times == "portal" else None
    for one in found:
        values = [one.properties.get(name, "") for name in names]
        if zone is not None:
            values = [_local(known, value, zone) for known, value in zip(definitions, values, strict=True)]
        if "VALUES" not in options:
            values = [_label(known, value) for known, value in zip(definitions, values, strict=True)]
        rows.writerow([one.contact.id, *values])
    return len(found), text.getvalue().encode()


def _label(definition: Mapping[str, Any], value: str) -> str:
    """Return a value as people see it: the label of an option."""
    labels = {as_text(option["value"]): as_text(option["label"]) for option in definition["options"]}
    return ";".join(labels.get(part, part) for part in value.split(";")) if labels else value


def _local(definition: Mapping[str, Any], value: str, zone: ZoneInfo) -> str:
    """Return a value with a time as people read it: in the portal's time zone, in whole minutes."""
    if definition["type"] != "datetime" or not value:
        return value
    return f"{datetime.fromisoformat(value).astimezone(zone):%Y-%m-%d %H:%M}"


def _zipped(name: str, content: bytes) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()
