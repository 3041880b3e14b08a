"""A sequence that the outbox gave twice, as after a restore: worker, replay and audit agree on which event has it."""

import json
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_consumer.history.projection import Projector, Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.requests import REMEMBERED_IDS, RemoteContact
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.reprocessing.comparison import differences, expected_of
from schemas.contacts import ContactKey
from schemas.envelope import Headers
from schemas.times import moment_of
from tests.clock import run_fast
from tests.contract.delivering import Worker
from tests.contract.replaying import replayed
from tests.contract.test_delivery_property import portal_of_ours
from tests.samples import EMAIL, PAYLOADS, envelope

ADA = ContactKey(EMAIL)


def events_of(sequences: list[int]) -> list[Stored]:
    """Return an event for each sequence, in the order in which Kafka stored them; each sets another balance."""
    found = []
    for number, sequence in enumerate(sequences):
        payload = PAYLOADS["nova_earned"] | {"new_balance_cents": 100 + number}
        made = envelope("nova_earned", sequence, EMAIL, id=str(UUID(int=number + 1)), payload=payload)
        text = json.dumps(made).encode()
        found.append(Stored(EMAIL, sequence, "lifecycle.nova_earned", 0, number, 1_000 * number, text))
    return found


def read(event: Stored) -> Record:
    made = json.loads(event.value)
    headers = Headers(made["id"], made["type"], made["sequence"]).encode()
    return Record(*event.place, moment_of(event.at_ms / 1000), event.key.encode(), event.value, headers)


@settings(max_examples=40, deadline=None)
@given(
    before=st.integers(1, 4),
    again=st.lists(st.integers(1, 4), max_size=4),
    seed=st.integers(0, 10**6),
)
def test_whatever_sequences_are_given_again_worker_replay_and_audit_agree_and_nothing_is_left_out(
    before: int, again: list[int], seed: int
) -> None:
    events = events_of([*range(1, before + 1), *(each for each in again if each <= before)])
    portal, other = portal_of_ours(), portal_of_ours()

    receipts = run_fast(Worker(portal, (), seed).read([read(each) for each in events]))

    assert Counter(each.offset for each in receipts) == Counter(range(len(events)))
    reused = frozenset(
        (each.topic, each.partition, each.offset) for each in receipts if each.reason == "sequence_reused"
    )
    assert len(events) - len(reused) == before, "one event has each sequence"
    with tempfile.TemporaryDirectory() as folder:
        selection = Selection(set_aside=reused, reused=reused, dead_letters=False)
        run_fast(replayed(other, Path(folder), sorted(events, key=lambda each: each.sequence), selection=selection))
    never_set_aside = Projector(Selection(), {}).project(ADA, sorted(events, key=lambda each: each.sequence)).reused
    assert {each.place for each in never_set_aside} == reused, "had no worker noticed, the audit would"
    live, again_written = portal.contacts.by_email(EMAIL), other.contacts.by_email(EMAIL)
    assert live is not None
    assert again_written is not None
    assert live.properties["nerava_nova_balance_cents"] == again_written.properties["nerava_nova_balance_cents"]
    contact = RemoteContact(live.id, live.properties)
    ordered = sorted(events, key=lambda each: each.sequence)
    assert differences(expected_of(Projector(selection, {}), ADA, [ordered], contact, {}).projection, contact) == []


@settings(max_examples=40, deadline=None)
@given(
    before=st.integers(1, REMEMBERED_IDS),
    again=st.lists(st.integers(0, 15), min_size=1, max_size=6),
    seed=st.integers(0, 10**6),
)
def test_after_a_restart_an_event_is_told_from_another_with_its_sequence_by_the_ids_that_hubspot_keeps(
    before: int, again: list[int], seed: int
) -> None:
    first = events_of([*range(1, before + 1)])
    others = events_of([1] * before + [*range(1, before + 1)])[before:]
    portal = portal_of_ours()
    run_fast(Worker(portal, (), seed).read([read(each) for each in first]))
    # Each number below `before` is a copy of an event, and each above it another event with the sequence of one.
    read_again = [(first + others)[each % (2 * before)] for each in again]
    records = [replace(read(each), offset=100 + place) for place, each in enumerate(read_again)]

    worker = Worker(portal, (), seed)
    receipts = run_fast(worker.read(records))

    reused = {each.event_id for each in receipts if each.reason == "sequence_reused"}
    assert reused == {id_of(each) for each in read_again if each in others}
    assert {each.event_id for each in receipts} == {id_of(each) for each in read_again}
    contact = portal.contacts.by_email(EMAIL)
    assert contact is not None
    assert contact.properties["nerava_nova_balance_cents"] == str(100 + before - 1)


@pytest.mark.parametrize("lost", ["the property", "its value"])
def test_an_event_whose_sequence_was_applied_without_a_known_id_counts_as_a_repeat_and_is_counted(lost: str) -> None:
    portal = portal_of_ours()
    if lost == "the property":
        portal.schema.archive(LAST_EVENT_ID)
    run_fast(Worker(portal, (), 1).read([read(each) for each in events_of([1, 2, 3])]))
    contact = portal.contacts.by_email(EMAIL)
    assert contact is not None
    if lost == "its value":
        # A worker of an earlier version writes the sequence alone.
        portal.contacts.update(contact, {LAST_EVENT_ID: ""})

    worker = Worker(portal, (), 1)
    receipts = run_fast(worker.read([replace(read(events_of([9, 2])[1]), offset=9)]))

    assert [each.outcome for each in receipts] == ["delivered"]
    assert worker.telemetry.registry.get_sample_value("hubspot_consumer_sequence_unverified_total") == 1


def id_of(event: Stored) -> str:
    return str(json.loads(event.value)["id"])
