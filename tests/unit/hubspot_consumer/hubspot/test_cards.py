"""What a timeline entry says, as HubSpot's card and as a note."""

import re
from collections.abc import Mapping
from html import escape
from uuid import UUID

import pytest

from hubspot_consumer.hubspot.requests import Note, TimelineEntry, event_of_note
from hubspot_consumer.hubspot.schema import card_of, event_definition
from hubspot_consumer.mapping import timeline_properties
from schemas.contacts import ContactKey
from schemas.envelope import Envelope, read_envelope
from schemas.events import EVENT_TYPES
from tests.samples import PAYLOADS, envelope, read, value

ADA = ContactKey("ada@example.com")
HEADERS = {
    "driver_signed_up": "Signed up with apple",
    "wallet_pass_installed": "Installed the apple wallet pass",
    "nova_earned": "Earned $5.00",
    "nova_redeemed": "Redeemed $1.00",
    "first_redemption_completed": "Redeemed $1.00 for the first time",
    "merchant_contact_created": "Became the contact of Café",
    "merchant_contact_updated": "Has new contact details",
}
# How workers of earlier versions recognise a note.
EARLIER = re.compile(r"nerava event ([0-9a-fA-F-]{36})")


def entry_of(event: Envelope, properties: Mapping[str, str] | None = None) -> TimelineEntry:
    properties = timeline_properties(event) if properties is None else properties
    return TimelineEntry(str(UUID(int=7)), event.type, ADA, "151", event.occurred_at, properties)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_card_reads_as_a_person_would_say_it(event_type: str) -> None:
    card = card_of(event_type).filled(timeline_properties(read(event_type)))

    assert card.header == HEADERS[event_type]
    assert "{" not in card.detail


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_card_names_only_properties_that_its_definition_has(event_type: str) -> None:
    defined = {one["name"] for one in event_definition(event_type)["propertyDefinitions"]}

    assert set(re.findall(r"\{\{(\w+)\}\}", "".join(card_of(event_type)))) <= defined


def test_a_new_event_type_has_a_card_of_its_name() -> None:
    assert card_of("session_started") == ("Session started", "")


@pytest.mark.parametrize(
    ("cents", "words"),
    [(0, "$0.00"), (5, "$0.05"), (123456, "$1,234.56"), (-5, "-$0.05"), (-123456, "-$1,234.56")],
)
def test_an_amount_is_written_in_dollars(cents: int, words: str) -> None:
    payload = {**PAYLOADS["nova_earned"], "new_balance_cents": cents}
    event = read_envelope(ADA.encode(), value(envelope("nova_earned", payload=payload)))

    assert timeline_properties(event)["new_balance"] == words


def test_amounts_as_people_read_them_are_sent_only_where_the_definition_has_them() -> None:
    """A portal that was provisioned earlier would refuse the whole call."""
    entry = entry_of(read("nova_earned"))

    assert set(PAYLOADS["nova_earned"]) == set(sent(entry, []))
    assert set(sent(entry, ["amount"])) == {*PAYLOADS["nova_earned"], "amount"}
    assert sent(entry, ["amount", "new_balance"]) == entry.properties


def sent(entry: TimelineEntry, known: list[str]) -> Mapping[str, str]:
    properties = entry.body(1, known)["properties"]
    assert isinstance(properties, dict)
    return properties


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_note_says_what_the_card_says_and_is_recognised_by_every_version(event_type: str) -> None:
    body = note_of(entry_of(read(event_type)))

    assert body.startswith(f"<b>{escape(HEADERS[event_type])}</b><br>")
    assert event_of_note(body) == str(UUID(int=7))
    [named] = EARLIER.findall(body)
    assert named == str(UUID(int=7))


def test_a_note_shows_markup_in_a_value_as_text() -> None:
    payload = {**PAYLOADS["merchant_contact_created"], "business_name": "<script>{{name}}</script>"}
    event = read_envelope(ADA.encode(), value(envelope("merchant_contact_created", payload=payload)))

    assert "<b>Became the contact of &lt;script&gt;{{name}}&lt;/script&gt;</b>" in note_of(entry_of(event))


def note_of(entry: TimelineEntry) -> str:
    properties = Note("t", entry).body()["properties"]
    assert isinstance(properties, dict)
    return str(properties["hs_note_body"])
