"""Remedies: what to do about a dead letter, by its reason. The runbook's table says the same."""

from collections.abc import Mapping
from typing import Final

_BY_HAND: Final = "whoever wrote it by hand tracks the event anew; then discard this one"
_OLDER: Final = "deploy a consumer that knows it, then redrive"

REMEDIES: Final[Mapping[str, str]] = {
    "missing_key": _BY_HAND,
    "invalid_envelope": f"the detail names the field. One of the payload: `mend` it, then redrive. Else {_BY_HAND}",
    "key_mismatch": _BY_HAND,
    "unknown_event_type": f"the producer is newer than the consumer: {_OLDER}. No type of ours: discard it",
    "unsupported_schema_version": f"the producer is newer than the consumer: {_OLDER}",
    "too_large": "its topic's max.message.bytes was lowered: raise it, or later ones end here too; then redrive",
    "rejected_by_hubspot": (
        "the detail is HubSpot's: `provision` names what the portal lacks; mend that or the mapping, then redrive. "
        "A value that HubSpot will never take: discard it"
    ),
    "mapping_failed": (
        "our mapping fails for it; the detail names fault and line. OverflowError: its time is in no year of UTC; "
        "`mend` it, then redrive. Else correct hubspot_consumer/mapping.py, deploy that, then redrive"
    ),
    "suppressed": "its contact asked not to be written (`suppress --undo` takes it off that list): discard it",
    "timeline_entry_rejected": (
        "the contact was written, its timeline entry was not: `provision` names the event definition that is missing; "
        "mend that, then redrive"
    ),
}


def remedy(reason: str) -> str:
    """Return what to do about that reason."""
    return REMEDIES.get(reason, "this version does not know the reason: look at the detail, and at who wrote it")
