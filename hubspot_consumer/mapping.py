"""The mapping of lifecycle events: one function per event type, from envelope to contact properties.

A new event type needs a function here, and its line in MAPPINGS; a test fails for an event type without one.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic_core import to_jsonable_python

from hubspot_consumer.hubspot.schema import SEQUENCE, amount_of
from schemas.envelope import Envelope, Totals
from schemas.events import (
    DriverSignedUp,
    Event,
    FirstRedemptionCompleted,
    MerchantContactCreated,
    MerchantContactUpdated,
    NovaEarned,
    NovaRedeemed,
    WalletPassInstalled,
)
from schemas.times import utc_milliseconds

Properties = dict[str, str]
Mapped = Callable[[Any, Totals], Mapping[str, str | None]]
"""The mapping of an event type. A property mapped to None is left as it is."""

# The limit of a custom event's property value, in units of UTF-16 as HubSpot counts: it rejects longer ones.
LONGEST_TIMELINE_VALUE: Final = 256


class MappedEvent(NamedTuple):
    """The result of a mapping: properties of the contact, and properties of the timeline entry."""

    contact: Properties
    entry: Properties


class MappingFailed(ValueError):
    """An event can't be mapped. The message names the error, and its place in the code or the property at fault. It
    quotes no value.
    """

    def __init__(self, event_type: str, fault: Exception, property_name: str = "") -> None:
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        place = f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
        at_fault = f"the value of {property_name} is no text" if property_name else place
        super().__init__(f"{event_type}: {type(fault).__name__} ({at_fault})")


def map_event(envelope: Envelope) -> MappedEvent:
    """Return the properties that the event sets. Raises only MappingFailed, whatever a mapping function raises."""
    return MappedEvent(map_contact(envelope), _mapped(timeline_properties, envelope))


def map_contact(envelope: Envelope) -> Properties:
    """Return the properties of the contact that the event sets. Raises only MappingFailed."""
    return _mapped(contact_properties, envelope)


def _mapped(properties_of: Callable[[Envelope], Properties], envelope: Envelope) -> Properties:
    try:
        properties = properties_of(envelope)
    except Exception as fault:
        raise MappingFailed(envelope.type, fault) from fault
    try:
        # Values that are no strings, and strings that UTF-8 can't encode, raise here.
        "".join((*properties, *properties.values())).encode()
    except (TypeError, ValueError) as fault:
        wrong = (name for name, value in properties.items() if not _is_text(value))
        raise MappingFailed(envelope.type, fault, next(wrong, "")) from fault
    return properties


def _is_text(value: object) -> bool:
    """Return whether a value is a string that UTF-8 can encode."""
    return isinstance(value, str) and value == value.encode(errors="ignore").decode()


def contact_properties(envelope: Envelope) -> Properties:
    """Return the contact properties that the event sets; all values are text, as HubSpot requires."""
    properties = dict(MAPPINGS[type(envelope.payload)](envelope.payload, envelope.totals))
    properties["nerava_external_id"] = envelope.contact.external_id
    properties[SEQUENCE] = str(envelope.sequence)
    # The contact key that the sequence belongs to: a merged contact, or one with a second email, has several keys.
    properties["nerava_contact_key"] = envelope.contact.email
    return {name: value for name, value in properties.items() if value is not None}


def timeline_properties(envelope: Envelope) -> Properties:
    """Return the properties of the timeline entry: the payload's fields, each cut to LONGEST_TIMELINE_VALUE, and the
    amounts among them as people read them.
    """
    fields = vars(envelope.payload)
    entry, amounts = Properties(), Properties()
    for name, amount in _entry_fields(type(envelope.payload)):
        value = fields[name]
        if isinstance(value, str):
            # A letter has at most two units.
            entry[name] = value if 2 * len(value) <= LONGEST_TIMELINE_VALUE else _cut(value)
        elif isinstance(value, datetime):
            # HubSpot reads times as Java does: it was seen to refuse microseconds, and may refuse an offset.
            entry[name] = utc_milliseconds(value)
        elif value is not None:
            entry[name] = _cut(str(to_jsonable_python(value)))
            if amount is not None:
                amounts[amount] = _dollars(value)
    return entry | amounts


@cache
def _entry_fields(model: type[Event]) -> Sequence[tuple[str, str | None]]:
    """Return the fields of an event's payload, each with the name of its amount as people read it if it is in cents."""
    return [(name, amount_of(name)) for name, field in model.model_fields.items() if not field.exclude]


def _dollars(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02}"


def _cut(value: str) -> str:
    # A letter of two units that the limit cuts through is left out.
    return value.encode("utf-16-le")[: 2 * LONGEST_TIMELINE_VALUE].decode("utf-16-le", "ignore")


def _signed_up(event: DriverSignedUp, _: Totals) -> Mapping[str, str | None]:
    return {
        "nerava_role": "driver",
        "nerava_signup_date": event.created_at.astimezone(UTC).date().isoformat(),
        "nerava_auth_provider": event.auth_provider,
        "nerava_lifecycle_stage": "new_driver",
    }


def _wallet_pass_installed(event: WalletPassInstalled, _: Totals) -> Mapping[str, str | None]:
    return {
        "nerava_wallet_pass_installed": "true",
        "nerava_wallet_pass_type": event.pass_type,
        "nerava_wallet_pass_installed_at": _time(event.installed_at),
    }


def _earned(event: NovaEarned, totals: Totals) -> Mapping[str, str | None]:
    return {
        "nerava_total_nova_earned_cents": str(totals.nova_earned_cents),
        "nerava_last_nova_earned_at": _time(event.earned_at),
        "nerava_nova_balance_cents": str(event.new_balance_cents),
    }


def _redeemed(event: NovaRedeemed, totals: Totals) -> Mapping[str, str | None]:
    return {
        "nerava_total_nova_redeemed_cents": str(totals.nova_redeemed_cents),
        "nerava_last_redemption_at": _time(event.redeemed_at),
        "nerava_nova_balance_cents": str(event.new_balance_cents),
    }


def _first_redemption_completed(event: FirstRedemptionCompleted, _: Totals) -> Mapping[str, str | None]:
    return {
        "nerava_first_redemption_completed_at": _time(event.completed_at),
        "nerava_lifecycle_stage": "active_driver",
    }


def _merchant_contact_created(event: MerchantContactCreated, _: Totals) -> Mapping[str, str | None]:
    return {"nerava_role": "merchant", **_merchant(event)}


def _merchant_contact_updated(event: MerchantContactUpdated, _: Totals) -> Mapping[str, str | None]:
    return _merchant(event)


def _merchant(event: MerchantContactCreated | MerchantContactUpdated) -> Mapping[str, str | None]:
    properties = {"nerava_merchant_id": event.merchant_id, "phone": event.phone, "company": event.business_name}
    if event.name is not None:
        # A name of one word clears the last name, because HubSpot would keep the old one beside the new first name.
        properties["firstname"], _, properties["lastname"] = event.name.partition(" ")
    return properties


def _time(moment: datetime) -> str:
    return utc_milliseconds(moment.astimezone(UTC))


MAPPINGS: Final[dict[type[Event], Mapped]] = {
    DriverSignedUp: _signed_up,
    WalletPassInstalled: _wallet_pass_installed,
    NovaEarned: _earned,
    NovaRedeemed: _redeemed,
    FirstRedemptionCompleted: _first_redemption_completed,
    MerchantContactCreated: _merchant_contact_created,
    MerchantContactUpdated: _merchant_contact_updated,
}
