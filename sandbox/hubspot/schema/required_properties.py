"""Required properties: an administrator's rules, which apply to calls of version 2026-09."""

from collections.abc import Mapping
from typing import Final

from sandbox.hubspot.http.calls import Call
from sandbox.hubspot.operations.batches import BadInput
from sandbox.hubspot.records.contacts import Contact
from sandbox.hubspot.records.portal import Portal

SINCE: Final = "2026-09"


def breach(portal: Portal, call: Call, properties: Mapping[str, str], contact: Contact | None) -> BadInput | None:
    """Return the error of a write to *contact* without a required property, if any. A *contact* of None is new."""
    if SINCE not in call.segments:
        return None
    if contact is None:
        missing = [name for name in portal.settings.required_properties if not properties.get(name)]
        if missing:
            words = {name: f"A value for {name} must be provided" for name in missing}
            return _missing(words, "MISSING_REQUIRED_PROPERTY")
    left = (contact.properties if contact else {}) | dict(properties)
    words = {
        needed: f"{needed} is required because of a conditional property rule based on [{condition.partition('=')[0]}]"
        for condition, needed in portal.settings.conditional_required.items()
        if _sets(properties, condition) and not left.get(needed)
    }
    return _missing(words, "MISSING_CONDITIONAL_REQUIRED_PROPERTY") if words else None


def _sets(properties: Mapping[str, str], condition: str) -> bool:
    name, _, value = condition.partition("=")
    return properties.get(name) == value


def _missing(words: Mapping[str, str], code: str) -> BadInput:
    message = f"Error writing CONTACT. Some required properties were not set: [{', '.join(words)}]"
    errors = [{"message": said, "code": code, "context": {"propertyName": [name]}} for name, said in words.items()]
    return BadInput(message, context={"properties": list(words)}, errors=errors)
