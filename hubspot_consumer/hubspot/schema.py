"""The schema that the portal needs before any write: one property group, its properties, and the event definitions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from pydantic import AwareDatetime

from schemas.events import EVENTS

PropertyType = Literal["string", "number", "date", "datetime", "bool", "enumeration"]

GROUP: Final = "nerava"
# Workers read the first property and go on without the second, which says whose sequence it is: see `requests.py`.
SEQUENCE: Final = "nerava_event_sequence"
LAST_EVENT_ID: Final = "nerava_last_event_id"
# The property that contacts are upserted by, unless HUBSPOT_ID_PROPERTY names another.
EMAIL: Final = "email"

_FIELD_TYPES: Final[dict[PropertyType, str]] = {
    "string": "text",
    "number": "number",
    "date": "date",
    "datetime": "date",
    "bool": "booleancheckbox",
    "enumeration": "select",
}


@dataclass(frozen=True)
class Property:
    """One of our contact properties, by HubSpot's terms."""

    name: str
    label: str
    type: PropertyType
    options: tuple[str, ...] = ()
    # Bookkeeping of the workers, which people should not edit.
    ours: bool = False
    # Without it, workers write everything else.
    optional: bool = False
    # No two contacts share a value. HubSpot makes a property unique only when it is created.
    unique: bool = False

    @property
    def field_type(self) -> str:
        return _FIELD_TYPES[self.type]

    def definition(self) -> dict[str, object]:
        return {
            "groupName": GROUP,
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            **({"hidden": True, "formField": False} if self.ours else {}),
            **({"hasUniqueValue": True} if self.unique else {}),
            "options": [
                {"label": option, "value": option, "displayOrder": order, "hidden": False}
                for order, option in enumerate(self.options)
            ],
        }


PROPERTIES: Final = (
    Property("nerava_external_id", "Nerava external id", "string"),
    Property(SEQUENCE, "Nerava event sequence", "number", ours=True),
    Property("nerava_contact_key", "Nerava contact key", "string", ours=True),
    Property(LAST_EVENT_ID, "Nerava last event id", "string", ours=True, optional=True),
    Property("nerava_role", "Nerava role", "enumeration", ("driver", "merchant")),
    Property("nerava_signup_date", "Nerava signup date", "date"),
    Property("nerava_auth_provider", "Nerava auth provider", "string"),
    Property("nerava_lifecycle_stage", "Nerava lifecycle stage", "enumeration", ("new_driver", "active_driver")),
    Property("nerava_wallet_pass_installed", "Nerava wallet pass installed", "bool", ("true", "false")),
    Property("nerava_wallet_pass_type", "Nerava wallet pass type", "enumeration", ("apple", "google")),
    Property("nerava_wallet_pass_installed_at", "Nerava wallet pass installed at", "datetime"),
    Property("nerava_total_nova_earned_cents", "Nova earned in all (cents)", "number"),
    Property("nerava_last_nova_earned_at", "Nova last earned at", "datetime"),
    Property("nerava_total_nova_redeemed_cents", "Nova redeemed in all (cents)", "number"),
    Property("nerava_last_redemption_at", "Nova last redeemed at", "datetime"),
    Property("nerava_nova_balance_cents", "Nova balance (cents)", "number"),
    Property("nerava_first_redemption_completed_at", "First redemption completed at", "datetime"),
    Property("nerava_merchant_id", "Nerava merchant id", "string"),
)

# Properties of HubSpot's own that the mapping sets.
OF_HUBSPOT: Final = ("firstname", "lastname", "phone", "company")


def our_properties(id_property: str) -> tuple[Property, ...]:
    """Return the properties that the portal needs, with that of HUBSPOT_ID_PROPERTY, which holds the contact key."""
    if id_property == EMAIL:
        return PROPERTIES
    return (*PROPERTIES, Property(id_property, "Nerava unique contact key", "string", ours=True, unique=True))


# HubSpot returns values of these types as they were sent, or keeps its own. It reformats numbers and times.
CHOSEN: Final = frozenset(known.name for known in PROPERTIES if known.type in ("enumeration", "bool"))


def event_name(event_type: str) -> str:
    """Return the name of an event definition, which HubSpot prefixes with `pe<portal id>_`."""
    return f"nerava_{event_type}"


def event_definition(event_type: str) -> dict[str, Any]:
    """Return the event definition for the timeline entries of *event_type*: one property per field of its payload, and
    one per amount as people read it.
    """
    fields = {name: field.annotation for name, field in EVENTS[event_type].model_fields.items() if name != "type"}
    amounts = [name for name in map(amount_of, fields) if name is not None]
    return {
        "name": event_name(event_type),
        "label": f"Nerava: {event_type.replace('_', ' ')}",
        "description": f"The lifecycle event {event_type}, one entry per event.",
        "primaryObject": "CONTACT",
        "includeDefaultProperties": False,
        "propertyDefinitions": [
            {"name": name, "label": name.replace("_", " ").capitalize(), "type": _event_property_type(annotation)}
            for name, annotation in (*fields.items(), *((name, str) for name in amounts))
        ],
    }


def _event_property_type(annotation: object) -> str:
    if annotation is int:
        return "number"
    return "datetime" if annotation is AwareDatetime else "string"


def amount_of(field: str) -> str | None:
    """Return the name of the event property with an amount as people read it, for a field in cents; None for others."""
    name = field.removesuffix("_cents")
    return name if name != field else None


class Card(NamedTuple):
    """What a timeline entry says. `{{name}}` stands for the value of a property, as in HubSpot's templates."""

    header: str
    detail: str

    def filled(self, properties: Mapping[str, str]) -> "Card":
        """Return the card of one entry; a property without a value is empty."""
        return Card(*(_TOKEN.sub(lambda token: properties.get(token[1], ""), text) for text in self))


_TOKEN: Final = re.compile(r"\{\{(\w+)\}\}")
_CARDS: Final[Mapping[str, Card]] = {
    "driver_signed_up": Card("Signed up with {{auth_provider}}", "The user is {{user_id}}."),
    "wallet_pass_installed": Card("Installed the {{pass_type}} wallet pass", "The user is {{user_id}}."),
    "nova_earned": Card("Earned {{amount}}", "The session is {{session_id}}, and the balance {{new_balance}}."),
    "nova_redeemed": Card("Redeemed {{amount}}", "The merchant is {{merchant_id}}, and the balance {{new_balance}}."),
    "first_redemption_completed": Card("Redeemed {{amount}} for the first time", "The merchant is {{merchant_id}}."),
    "merchant_contact_created": Card("Became the contact of {{business_name}}", "The merchant is {{merchant_id}}."),
    "merchant_contact_updated": Card("Has new contact details", "The merchant is {{merchant_id}}."),
}


def card_of(event_type: str) -> Card:
    """Return the card of an event type; one that has none yet shows its name."""
    return _CARDS.get(event_type) or Card(event_type.replace("_", " ").capitalize(), "")
