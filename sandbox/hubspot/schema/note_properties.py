"""The properties of notes: those of HubSpot's own that matter here."""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.hubspot.schema.properties import DEFAULTS, Property, property_of


def _property(name: str, kind: str = "string", *, read_only: bool = False) -> Property:
    metadata = {"archivable": False, "readOnlyDefinition": True, "readOnlyValue": read_only}
    definition: dict[str, Any] = {"name": name, "type": kind, "fieldType": "text", "modificationMetadata": metadata}
    return property_of(DEFAULTS | definition)


NOTE_PROPERTIES: Final[Mapping[str, Property]] = {
    known.name: known
    for known in (
        _property("hs_timestamp", "datetime"),
        _property("hs_note_body"),
        _property("hs_attachment_ids"),
        _property("hubspot_owner_id", "number"),
        _property("hs_createdate", "datetime", read_only=True),
        _property("hs_lastmodifieddate", "datetime", read_only=True),
        _property("hs_object_id", "number", read_only=True),
        _property("hs_object_source", read_only=True),
        _property("hs_object_source_id", read_only=True),
        _property("hs_object_source_label", read_only=True),
    )
}
