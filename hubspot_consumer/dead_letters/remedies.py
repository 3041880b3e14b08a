"""Remedies: the instructions for a dead letter, by its reason. The runbook's table has the same content."""

from collections.abc import Mapping
from typing import Final

_BY_HAND: Final = "if the event was written by hand, track it again, then discard this one"
_OLDER: Final = "deploy a consumer that knows it, then redrive"

REMEDIES: Final[Mapping[str, str]] = {
    "missing_key": _BY_HAND,
    "invalid_envelope": f"the detail names the field. In the payload: `mend` it, then redrive. Otherwise: {_BY_HAND}",
    "key_mismatch": _BY_HAND,
    "unknown_event_type": f"the producer is newer than the consumer: {_OLDER}. If the type is not ours: discard it",
    "unsupported_schema_version": f"the producer is newer than the consumer: {_OLDER}",
    "too_large": "the topic's max.message.bytes was lowered: raise it, so that later events fit, then redrive",
    "rejected_by_hubspot": (
        "the detail is HubSpot's answer; `provision` names what the portal lacks. Repair the portal or the mapping, "
        "then redrive. If HubSpot will never take the value: discard it"
    ),
    "mapping_failed": (
        "our mapping raised an exception; the detail names it and the line. If it is an OverflowError, a time is "
        "outside the years 1 to 9999 in UTC: `mend` it, then redrive. Otherwise: correct hubspot_consumer/mapping.py, "
        "deploy it, then redrive"
    ),
    "sequence_reused": (
        "the outbox has given a sequence twice, as it does after a restore of its database: run `python -m producer "
        "recover`, then redrive"
    ),
    "suppressed": "the contact asked not to be written: discard it (`suppress --undo` takes the contact off that list)",
    "timeline_entry_rejected": (
        "the contact was written, but HubSpot refused the timeline entry: `provision` names the missing event "
        "definition; create it, then redrive"
    ),
}


# HubSpot's words for a contact that was deleted as privacy law demands: nothing can be repaired.
DELETED_BY_LAW: Final = "GDPR blacklisted"
_SUPPRESS: Final = (
    "HubSpot deleted the contact for good, as privacy law demands, and refuses the email: `suppress` the contact, so "
    "that none of its events is sent, then discard this one"
)


def remedy(reason: str, detail: str = "") -> str:
    """Return the instructions for that reason, and for that detail where HubSpot's words need other ones."""
    if reason == "rejected_by_hubspot" and DELETED_BY_LAW.lower() in detail.lower():
        return _SUPPRESS
    return REMEDIES.get(
        reason, "this version does not know the reason: look at the detail, and find out which program wrote it"
    )
