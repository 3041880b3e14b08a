"""The wording of the contact page: what people call the types and the states of events, and amounts of Nova."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from console.contacts.filters import StateGroup
from console.contacts.traced import State, TracedEvent
from hubspot_consumer.dead_letters.remedies import remedy

MINUS: Final = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class StateWords:
    """A state as its badge says it, with the sentence that explains it, and the badge's colour."""

    badge: str
    sentence: str
    colour: str = ""


TYPES: Final[Mapping[str, str]] = {
    "driver_signed_up": "Signed up",
    "wallet_pass_installed": "Wallet pass installed",
    "nova_earned": "Nova earned",
    "nova_redeemed": "Nova redeemed",
    "first_redemption_completed": "First redemption",
    "merchant_contact_created": "Merchant contact created",
    "merchant_contact_updated": "Merchant contact updated",
}
STATES: Final[Mapping[State, StateWords]] = {
    "outbox": StateWords("in the outbox", "It is in the outbox, not published yet.", "warn"),
    "waiting": StateWords("waiting", "It is on Kafka, and no worker has finished it.", "warn"),
    "unknown": StateWords("may have ended", "It is on Kafka. It may have ended: Kafka does not say.", "warn"),
    "acked": StateWords("finished", "A worker has finished it; no receipt says how."),
    "delivered": StateWords("delivered", "HubSpot has taken it.", "good"),
    "dead_letter": StateWords("dead letter", "It was set aside: it has not taken effect.", "bad"),
    "redriven": StateWords("redriven", "It was a dead letter, and has taken effect after all.", "good"),
    "discarded": StateWords("discarded", "It was a dead letter, and people decided not to send it."),
    "suppressed": StateWords("suppressed", "It was not sent: the contact is suppressed."),
}
GROUPS: Final[Mapping[StateGroup, str]] = {
    "delivered": "Delivered",
    "waiting": "Waiting",
    "dead_letter": "Dead letters",
    "not_sent": "Not sent",
    "no_receipt": "No receipt",
    "missing": "Missing",
}


def type_words(event_type: str) -> str:
    """Return what people call a type; one that this version does not know is named as it is."""
    return TYPES.get(event_type) or event_type.replace("_", " ") or "Unknown event"


def what_to_do(event: TracedEvent) -> str:
    """Return the instructions for an event that is a dead letter."""
    if event.letter is not None and event.letter.state == "mended":
        return "its correction is saved: redrive it"
    return remedy(*(event.why or ("", ""))).replace("`", "")


def nova(cents: int, *, signed: bool = False) -> str:
    """Return an amount of Nova with its unit: 450 cents are 4.50 Nova. *signed*: with a plus where it is positive."""
    whole, rest = divmod(abs(cents), 100)
    sign = MINUS if cents < 0 else "+" if signed and cents else ""
    return f"{sign}{whole:,}.{rest:02} Nova"
