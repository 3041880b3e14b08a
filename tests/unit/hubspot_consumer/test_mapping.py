"""Mapping: from events to what HubSpot is to hold."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer import mapping as mapping_of
from hubspot_consumer.delivery.batches import coalesced_properties
from hubspot_consumer.hubspot.schema import GROUP, PROPERTIES
from hubspot_consumer.mapping import MAPPINGS, MappingFailed, contact_properties, map_event, timeline_properties
from schemas.envelope import Envelope, read_envelope
from schemas.events import EVENTS, NovaEarned
from tests.samples import EMAIL, PAYLOADS, envelope, read

HUBSPOTS_OWN = {"firstname", "lastname", "phone", "company"}
EXPECTED: dict[str, dict[str, str]] = {
    "driver_signed_up": {
        "nerava_role": "driver",
        "nerava_signup_date": "2026-11-24",
        "nerava_auth_provider": "apple",
        "nerava_lifecycle_stage": "new_driver",
    },
    "wallet_pass_installed": {
        "nerava_wallet_pass_installed": "true",
        "nerava_wallet_pass_type": "apple",
        "nerava_wallet_pass_installed_at": "2026-11-24T03:00:00.123Z",
    },
    "nova_earned": {
        "nerava_total_nova_earned_cents": "500",
        "nerava_last_nova_earned_at": "2026-11-24T03:00:00.123Z",
        "nerava_nova_balance_cents": "500",
    },
    "nova_redeemed": {
        "nerava_total_nova_redeemed_cents": "0",
        "nerava_last_redemption_at": "2026-11-24T03:00:00.123Z",
        "nerava_nova_balance_cents": "400",
    },
    "first_redemption_completed": {
        "nerava_first_redemption_completed_at": "2026-11-24T03:00:00.123Z",
        "nerava_lifecycle_stage": "active_driver",
    },
    "merchant_contact_created": {
        "nerava_role": "merchant",
        "nerava_merchant_id": "mer_1",
        "firstname": "Ada",
        "lastname": "Lovelace",
        "phone": "+1 555 0100",
        "company": "Café",
    },
    "merchant_contact_updated": {"nerava_merchant_id": "mer_1", "phone": "+1 555 0101"},
}


def test_every_event_has_a_mapping() -> None:
    assert set(MAPPINGS) == set(EVENTS.values())
    assert set(EXPECTED) == set(EVENTS)


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_sets_these_properties_and_what_every_event_sets(event_type: str) -> None:
    always = {"nerava_external_id": "usr_1", "nerava_event_sequence": "1", "nerava_contact_key": EMAIL}

    assert contact_properties(read(event_type)) == EXPECTED[event_type] | always


@pytest.mark.parametrize("event_type", EVENTS)
def test_every_property_that_is_set_is_provisioned_or_hubspots_own(event_type: str) -> None:
    ours = {known.name for known in PROPERTIES}

    assert set(contact_properties(read(event_type))) <= ours | HUBSPOTS_OWN
    assert all(name.startswith(f"{GROUP}_") for name in ours)


def test_a_property_takes_the_values_that_are_set() -> None:
    options = {known.name: known.options for known in PROPERTIES if known.type == "enumeration"}
    for event_type in EVENTS:
        for name, value in contact_properties(read(event_type)).items():
            assert name not in options or value in options[name]


EVENT = st.tuples(st.sampled_from(list(EVENTS)), st.integers(-(2**53) + 1, 2**53 - 1), st.text("abc ", max_size=5))


def _envelope(sequence: int, event_type: str, amount: int, word: str) -> Envelope:
    payload: dict[str, Any] = dict(PAYLOADS[event_type])
    for field in payload.keys() & {"new_balance_cents", "amount_cents"}:
        payload[field] = amount if field == "new_balance_cents" else abs(amount)
    if "business_name" in payload:
        payload["business_name"] = f"Café {word}"
    return read_envelope(EMAIL.encode(), json.dumps(envelope(event_type, sequence, payload=payload)).encode())


@given(st.lists(EVENT, min_size=1, max_size=12))
def test_a_fold_holds_what_its_events_one_after_the_other_would_leave(drawn: list[tuple[str, int, str]]) -> None:
    events = [_envelope(sequence, *event) for sequence, event in enumerate(drawn, start=1)]
    contact: dict[str, str] = {}
    for event in events:
        contact |= contact_properties(event)

    assert coalesced_properties(map(contact_properties, events)) == contact
    assert contact["nerava_event_sequence"] == str(len(events))
    assert all(re.fullmatch(r"-?\d+", value) for name, value in contact.items() if name.endswith("_cents"))


def _fails(_: Any, __: Any) -> dict[str, str]:
    raise KeyError("of ada@example.com")


def _recurses(*given: Any) -> dict[str, str]:
    return _recurses(*given)


@pytest.mark.parametrize(
    ("mapping", "fault", "where"),
    [
        (_fails, "KeyError", ".py, line "),
        (lambda *_: None, "TypeError", ".py, line "),
        (lambda *_: {"nerava_role": 5}, "TypeError", "the value of nerava_role is no text"),
        (lambda *_: {5: "driver"}, "TypeError", ".py, line "),
        (lambda *_: {"nerava_role": "\ud800"}, "UnicodeEncodeError", "the value of nerava_role is no text"),
        (_recurses, "RecursionError", ".py, line "),
        (None, "KeyError", ".py, line "),
    ],
)
def test_whatever_a_mapping_does_is_a_failure_that_says_where_and_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, mapping: Any, fault: str, where: str
) -> None:
    mappings: dict[Any, Any] = dict(MAPPINGS)
    if mapping is None:
        del mappings[NovaEarned]
    else:
        mappings[NovaEarned] = mapping
    monkeypatch.setattr(mapping_of, "MAPPINGS", mappings)

    with pytest.raises(MappingFailed) as failed:
        map_event(read("nova_earned"))

    assert str(failed.value).startswith(f"nova_earned: {fault} (")
    assert where in str(failed.value)
    assert "ada@" not in str(failed.value)
    assert map_event(read("nova_redeemed")).contact == contact_properties(read("nova_redeemed"))


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_timeline_entry_holds_the_payload_as_text(event_type: str) -> None:
    entry = timeline_properties(read(event_type))

    payload = {name: str(value).replace(".123456Z", ".123Z") for name, value in PAYLOADS[event_type].items()}
    assert {name: entry[name] for name in payload} == payload


def changed(event_type: str, fields: dict[str, str]) -> Envelope:
    made = envelope(event_type, payload=PAYLOADS[event_type] | fields)
    return read_envelope(EMAIL.encode(), json.dumps(made).encode())


def test_times_of_an_entry_are_in_utc_with_milliseconds() -> None:
    event = changed("nova_earned", {"earned_at": "2026-11-23T19:00:00.123456-08:00"})

    assert timeline_properties(event)["earned_at"] == "2026-11-24T03:00:00.123Z"


@pytest.mark.parametrize(("letter", "fit"), [("\N{GRINNING FACE}", 128), ("a", 255), ("\N{HOT BEVERAGE}", 255)])
def test_a_value_of_an_entry_is_as_long_as_hubspot_counts(letter: str, fit: int) -> None:
    event = changed("merchant_contact_created", {"business_name": letter * 255})

    assert timeline_properties(event)["business_name"] == letter * fit
