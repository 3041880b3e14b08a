"""Merges: two contacts become one, which has the entries of both timelines."""

from typing import Final

from sandbox.hubspot.http.answers import Answer, invalid, not_found
from sandbox.hubspot.http.calls import Call, as_text, not_set
from sandbox.hubspot.operations.contacts.contact_records import record
from sandbox.hubspot.records.contacts import MERGED_IDS
from sandbox.hubspot.records.portal import Portal

MOST_MERGED: Final = 250


def merge(portal: Portal, call: Call) -> Answer:
    body = call.object()
    missing = [name for name in ("primaryObjectId", "objectIdToMerge") if not body.get(name)]
    if missing:
        raise not_set(missing)
    primary = portal.contacts.by_id(as_text(body["primaryObjectId"]))
    other = portal.contacts.by_id(as_text(body["objectIdToMerge"]))
    if primary is None or other is None:
        raise not_found()
    if primary is other:
        raise invalid("A contact can not be merged with itself.")
    merged = [contact.properties.get(MERGED_IDS, contact.id).count(";") + 1 for contact in (primary, other)]
    if sum(merged) > MOST_MERGED:
        raise invalid(f"A contact can not be the result of more than {MOST_MERGED} merges.")
    survivor = portal.contacts.merge(primary, other, keeps_primary_id=portal.settings.merge_keeps_primary_id)
    portal.timeline.join({primary.id, other.id}, survivor.id)
    return Answer(200, record(portal, survivor, survivor.properties))
