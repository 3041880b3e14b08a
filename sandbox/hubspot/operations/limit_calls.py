"""Calls about the limits of the account: how many properties and records it can have, and has."""

from typing import Any, Final

from sandbox.hubspot.http.answers import Answer
from sandbox.hubspot.http.calls import Call
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema.properties import MOST_CUSTOM

MOST_OVERALL: Final = 10_000
_CONTACT: Final = {"objectTypeId": "0-1", "singularLabel": "Contact", "pluralLabel": "Contacts"}


def custom_properties(portal: Portal, _: Call) -> Answer:
    used = portal.schema.custom
    return Answer(200, {"byObjectType": [_CONTACT | _usage(used, MOST_CUSTOM)], **_overall(used, MOST_OVERALL)})


def records(portal: Portal, _: Call) -> Answer:
    """Return the number of contacts, and how many the account may have."""
    contacts = sum(not contact.archived for contact in portal.contacts.all())
    known = _CONTACT | _usage(contacts, portal.settings.contact_limit)
    # The simulator has no custom objects.
    custom = {"byObjectType": [], **_overall(0, 0)}
    return Answer(200, {"hubspotDefinedObjectTypes": [known], "customObjectTypes": custom})


def _usage(used: int, limit: int) -> dict[str, Any]:
    return {"limit": limit, "usage": used, "percentage": _percentage(used, limit)}


def _overall(used: int, limit: int) -> dict[str, Any]:
    return {"overallLimit": limit, "overallUsage": used, "overallPercentage": _percentage(used, limit)}


def _percentage(used: int, limit: int) -> float:
    return 100 * used / limit if limit else 0.0
