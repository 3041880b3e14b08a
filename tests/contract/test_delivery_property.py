"""Whatever comes and whatever HubSpot answers: each event ends once, and contacts are what their events say.

Delivery, lanes, pacing, client and reader are real, and so is the simulator; only time and the way between them are
the test's.
"""

import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hubspot_consumer.hubspot.requests import read_event_ids
from hubspot_consumer.hubspot.schema import (
    EMAIL,
    GROUP,
    LAST_EVENT_ID,
    PROPERTIES,
    SEQUENCE,
    event_definition,
    our_properties,
)
from hubspot_consumer.mapping import Properties, contact_properties
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.records.timeline import Occurrence
from schemas.contacts import ContactKey
from schemas.envelope import Envelope, read_envelope
from schemas.events import EVENT_TYPES
from tests.clock import LoopClock, run_fast
from tests.contract.delivering import ANSWERS, Delivered, Worker
from tests.samples import ID_PROPERTY, PAYLOADS, PORTAL_ID, TOKEN, envelope

ADA, GRACE, LENA = "ada@example.com", "grace@example.com", "lena@example.com"
# HubSpot refuses it, for its top-level domain.
NOBODY: Final = "nobody@example.con"
# Another email of the contact that is Ada.
ADA_TOO: Final = "ada.too@example.com"

EVENTS: Final = (
    "driver_signed_up",
    "wallet_pass_installed",
    "nova_earned",
    "nova_redeemed",
    "first_redemption_completed",
    "merchant_contact_updated",
)
# The portal lacks the option that the event sets.
BAD: Final = "bad option"
KINDS: Final = st.lists(st.sampled_from((*EVENTS, BAD)), min_size=1, max_size=4)
SOME_ANSWERS: Final = st.lists(st.sampled_from(ANSWERS), max_size=12)


def portal_of_ours(id_property: str = EMAIL) -> Portal:
    """Return a portal with our properties and events, in which nobody ever gave out a pass of Google's."""
    portal = Portal(PORTAL_ID, [TOKEN], clock=LoopClock())
    portal.schema.add_group({"name": GROUP, "label": "Nerava"})
    for ours in our_properties(id_property):
        definition = ours.definition()
        if ours.name == "nerava_wallet_pass_type":
            definition["options"] = [{"label": "Apple", "value": "apple"}]
        portal.schema.add(definition)
    for event_type in EVENT_TYPES:
        body: dict[str, Any] = event_definition(event_type)
        portal.event_definitions.add(body["name"], body, body["propertyDefinitions"])
    return portal


def event_of(place: int, kind: str, sequence: int, email: str) -> Envelope:
    """Return an event whose values are its own, so that it shows which event a contact's values are of."""
    event_type = "wallet_pass_installed" if kind == BAD else kind
    at = f"2026-{1 + place % 12:02}-{1 + sequence:02}T03:00:00Z"
    own = {
        "new_balance_cents": place,
        "phone": f"+1 555 {place:04}",
        "pass_type": "google" if kind == BAD else "apple",
        "auth_provider": f"provider {place}",
        "email": email,
        **{name: at for name in PAYLOADS[event_type] if name.endswith("_at")},
    }
    payload = PAYLOADS[event_type] | {name: own[name] for name in own if name in PAYLOADS[event_type]}
    totals = {"nova_earned_cents": 100 * place, "nova_redeemed_cents": place}
    made = envelope(event_type, sequence, email, id=str(UUID(int=place + 1)), payload=payload, totals=totals)
    return read_envelope(email.encode(), json.dumps(made).encode())


def events_of(kinds: dict[str, list[str]]) -> list[Envelope]:
    numbered = [
        (email, sequence, kind) for email, their in kinds.items() for sequence, kind in enumerate(their, start=1)
    ]
    return [event_of(place, kind, sequence, email) for place, (email, sequence, kind) in enumerate(numbered)]


def ours(portal: Portal, email: str) -> Properties | None:
    """Return the values of our properties that a contact has."""
    contact = portal.contacts.by_email(email)
    if contact is not None:
        # Both are written together, so that the ids always say whose sequence it is.
        key = ContactKey(contact.properties.get("nerava_contact_key", ""))
        ids = read_event_ids(key, contact.properties.get(LAST_EVENT_ID, ""))
        assert max(ids, default=0) == int(contact.properties.get(SEQUENCE) or 0)
    names = {wanted.name for wanted in PROPERTIES} - {LAST_EVENT_ID} | {"phone", "company", "firstname", "lastname"}
    return {name: value for name, value in contact.properties.items() if name in names} if contact else None


def folded(events: Sequence[Envelope]) -> Properties:
    properties: Properties = {}
    for event in events:
        properties |= contact_properties(event)
    return properties


def is_guilty(event: Envelope) -> bool:
    """Whether HubSpot takes an event by no means, alone."""
    return event.contact.email == NOBODY or getattr(event.payload, "pass_type", None) == "google"


def arrivals_of(events: Sequence[Envelope], chance: random.Random) -> list[int]:
    """Return the places of the events in some order, and some of them twice."""
    places = [*range(len(events)), *(place for place in range(len(events)) if chance.random() < 0.3)]
    chance.shuffle(places)
    return places


def entries_of(portal: Portal) -> list[Occurrence]:
    return [entry for entry in portal.timeline.entries() if isinstance(entry, Occurrence)]


def assert_each_ended_once(
    portal: Portal, events: Sequence[Envelope], arrivals: Sequence[int], came: Delivered
) -> None:
    assert came.finished == Counter(arrivals), "an event is acked once for each time it was read"
    dead = Counter(place for place, _ in came.dead)
    assert max(dead.values(), default=1) == 1
    assert {reason for _, reason in came.dead} <= {"rejected_by_hubspot"}
    assert all(is_guilty(events[place]) for place in dead)
    assert dead.keys() >= {place for place, event in enumerate(events) if event.contact.email == NOBODY}
    assert {place for place, _ in came.receipts} == set(arrivals), "whatever ends leaves a receipt"
    assert {place for place, outcome in came.receipts if outcome == "dead_lettered"} == dead.keys()
    # One that was set aside and then came again is told as delivered too; else it is told as it ended.
    twice = {place for place, outcome in came.receipts if outcome == "delivered"} & dead.keys()
    assert all(arrivals.count(place) > 1 for place in twice)
    places = {str(event.id): place for place, event in enumerate(events)}
    left = {places[entry.uuid]: entry.contact_id for entry in entries_of(portal)}
    # One that was set aside and then came again is taken for one that was applied.
    again = {place for place in dead if arrivals.count(place) > 1}
    assert set(left) - again == set(range(len(events))) - dead.keys()
    assert len(left) == len(entries_of(portal)), "a timeline has each event once"
    for email in {event.contact.email for event in events}:
        contact = portal.contacts.by_email(email)
        order = [place for place in left if events[place].contact.email == email and place not in dead]
        assert {left[place] for place in order} <= {contact.id if contact else None}
        assert order == sorted(order), "a timeline has a contact's events in their order"
    assert portal.log.rate_limited_by_quota == 0


def assert_found_by(id_property: str, portal: Portal) -> None:
    """Every contact that was written by its primary email can be found by that."""
    for contact in portal.contacts.all():
        if contact.properties.get("nerava_contact_key") == contact.email:
            assert contact.properties[id_property] == contact.email


def alive(events: Sequence[Envelope], dead: Collection[int], email: str) -> list[Envelope]:
    """Return one contact's events that are not set aside, in their order."""
    return [event for place, event in enumerate(events) if place not in dead and event.contact.email == email]


@pytest.mark.parametrize("id_property", [EMAIL, ID_PROPERTY])
@settings(max_examples=25, derandomize=True)
@given(
    kinds=st.dictionaries(st.sampled_from((ADA, GRACE, LENA, NOBODY)), KINDS, min_size=1),
    answers=SOME_ANSWERS,
    answers_after_restart=SOME_ANSWERS,
    known=st.sets(st.sampled_from((ADA, GRACE))),
    duplicate_uuid=st.sampled_from(("drop", "reject")),
    seed=st.integers(0, 1_000),
)
# Three contacts that are there already, in calls that are refused as a whole, and then in parts.
@example(
    kinds={ADA: ["nova_earned"], GRACE: ["nova_redeemed"], LENA: ["driver_signed_up"]},
    answers=["400"] * 8,
    answers_after_restart=["400"] * 8,
    known={ADA, GRACE},
    duplicate_uuid="drop",
    seed=1,
)
def test_each_event_ends_once_and_contacts_are_the_fold_of_their_events_also_after_a_restart(
    kinds: dict[str, list[str]],
    answers: list[str],
    answers_after_restart: list[str],
    known: set[str],
    duplicate_uuid: str,
    seed: int,
    id_property: str,
) -> None:
    events, chance, portal = events_of(kinds), random.Random(seed), portal_of_ours(id_property)
    portal.change_settings(duplicate_uuid=duplicate_uuid)
    for email in known:
        portal.contacts.create({"email": email})

    async def deliver_and_deliver_again() -> None:
        arrivals = arrivals_of(events, chance)
        came = await Worker(portal, answers, seed, id_property=id_property).deliver(events, arrivals)

        assert_each_ended_once(portal, events, arrivals, came)
        dead = {place for place, _ in came.dead}
        expected = {email: folded(alive(events, dead, email)) for email in kinds}
        for email, properties in expected.items():
            assert ours(portal, email) == (properties if properties or email in known else None)
        # The worker is restarted, and reads some of them again.
        repeats = [place for place in arrivals if chance.random() < 0.5]
        again = await Worker(portal, answers_after_restart, seed + 1, id_property=id_property).deliver(events, repeats)

        assert again.finished == Counter(repeats)
        assert all(is_guilty(events[place]) for place, _ in again.dead)
        for email, properties in expected.items():
            assert ours(portal, email) == (properties if properties or email in known else None)
        assert_found_by(id_property, portal)
        uuids = [entry.uuid for entry in entries_of(portal)]
        assert len(set(uuids)) == len(uuids)

    run_fast(deliver_and_deliver_again())


@pytest.mark.parametrize("id_property", [EMAIL, ID_PROPERTY])
@settings(max_examples=20, derandomize=True)
@given(
    ada=KINDS,
    ada_too=KINDS,
    others=st.dictionaries(st.sampled_from((GRACE, NOBODY)), KINDS),
    answers=SOME_ANSWERS,
    same_contact_twice=st.sampled_from(("reject", "accept")),
    seed=st.integers(0, 1_000),
)
def test_two_emails_of_one_contact_take_turns_and_no_event_of_either_is_lost(
    ada: list[str],
    ada_too: list[str],
    others: dict[str, list[str]],
    answers: list[str],
    same_contact_twice: str,
    seed: int,
    id_property: str,
) -> None:
    events, portal = events_of({ADA: ada, ADA_TOO: ada_too, **others}), portal_of_ours(id_property)
    portal.change_settings(same_contact_twice=same_contact_twice)
    portal.contacts.create({"email": ADA, "hs_additional_emails": ADA_TOO})
    arrivals = arrivals_of(events, random.Random(seed))

    came = run_fast(Worker(portal, answers, seed, id_property=id_property).deliver(events, arrivals))

    assert_each_ended_once(portal, events, arrivals, came)
    dead = {place for place, _ in came.dead}
    assert_found_by(id_property, portal)
    turns = interleavings(alive(events, dead, ADA), alive(events, dead, ADA_TOO))
    assert ours(portal, ADA) in [folded(order) for order in turns]


def interleavings(one: list[Envelope], other: list[Envelope]) -> Iterator[list[Envelope]]:
    """Yield every order of both in which each keeps its own."""
    if not one or not other:
        yield one + other
        return
    yield from ([one[0], *rest] for rest in interleavings(one[1:], other))
    yield from ([other[0], *rest] for rest in interleavings(one, other[1:]))
