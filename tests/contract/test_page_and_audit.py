"""The console's contact page and the audit say the same of a contact, whatever HubSpot holds and however it moved."""

import asyncio
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from console.contacts.extract import Extract
from console.contacts.index import Index, Reached
from console.contacts.index_rows import rows_of
from console.contacts.present import PresentState
from hubspot_consumer.delivery.batches import coalesced_properties
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import Upsert
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.mapping import contact_properties
from hubspot_consumer.reprocessing.audit import Audit
from hubspot_consumer.reprocessing.hubspot_reader import HubSpotReader
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.settings import Settings
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.contacts import Contacts
from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from schemas.contacts import ContactKey
from schemas.envelope import read_envelope
from tests.clock import OwnedClock
from tests.contract.replaying import QuietTopics
from tests.kafka.kafka_records import BEGAN, TOPICS, KafkaRecord, event_record, letter_record
from tests.samples import ID_PROPERTY, PORTAL_ID, TOKEN, envelope

KEYS = [ContactKey(f"{name}@example.com") for name in ("old", "new", "newest")]
Said = dict[ContactKey, tuple[bool, set[str]]]
"""Of each contact: whether it is missing, and the properties that differ."""


@dataclass(frozen=True)
class AtHubSpot:
    """A contact that was written up to its n-th event, and then changed by somebody or not."""

    up_to: int
    changed: bool


@dataclass(frozen=True)
class World:
    """Contacts by their place in `KEYS`; *moved* says which of them follow the one before."""

    histories: Sequence[Sequence[str]]
    moved: Sequence[bool]
    at_hubspot: Sequence[AtHubSpot | None]
    dead: frozenset[int]
    committed: int

    def records(self) -> list[KafkaRecord]:
        made: list[KafkaRecord] = []
        for number, (key, types) in enumerate(zip(KEYS, self.histories, strict=True)):
            if number and self.moved[number - 1]:
                event = envelope("merchant_contact_updated", 1, key)
                event["payload"] = {**event["payload"], "email": key, "previous_email": KEYS[number - 1]}
                made.append(event_record("merchant_contact_updated", 1, len(made), key, made=event))
            for sequence, event_type in enumerate(types, 2):
                made.append(event_record(event_type, sequence, len(made), key))
        # The moves of one contact are ordered by their times.
        return [record._replace(timestamp=record.timestamp + number) for number, record in enumerate(made)]

    def moves(self) -> list[tuple[ContactKey, ContactKey]]:
        pairs = pairwise(KEYS)
        return [pair for pair, moved in zip(pairs, self.moved, strict=True) if moved]


histories = st.lists(st.sampled_from(["nova_earned", "nova_redeemed"]), min_size=0, max_size=3)
worlds = st.builds(
    World,
    histories=st.tuples(histories, histories, histories),
    moved=st.tuples(st.booleans(), st.booleans()),
    at_hubspot=st.tuples(*[st.none() | st.builds(AtHubSpot, st.integers(1, 4), st.booleans())] * 3),
    dead=st.frozensets(st.integers(0, 10), max_size=2),
    committed=st.integers(0, 12),
)

NOBODY = frozenset[int]()
MOVED_TWICE = World((["nova_earned"], [], []), (True, True), (None, None, AtHubSpot(1, changed=False)), NOBODY, 0)
TWO_CONTACTS = World(
    ([], ["nova_earned"], ["nova_earned"]),
    (True, True),
    (None, AtHubSpot(3, changed=True), AtHubSpot(3, changed=False)),
    NOBODY,
    9,
)


@pytest.fixture(scope="module")
def provisioned() -> Portal:
    portal = Portal(PORTAL_ID, [TOKEN], quota=10**6, daily_limit=10**6)
    asyncio.run(provision(portal, ID_PROPERTY))
    return portal


async def said_by_page_and_audit(portal: Portal, world: World, folder: Path, id_property: str) -> tuple[Said, Said]:
    records = world.records()
    letters = [letter_record(record, offset=number) for number, record in enumerate(records) if number in world.dead]
    index = Index(folder)
    index.open()
    kept = [*records, *letters]
    index.add(rows_of(kept, TOPICS), {(each.topic, each.partition): Reached(0, 100, 0) for each in kept})
    committed = {(topic, 0): world.committed for topic in TOPICS.events}
    transport, clock = httpx.ASGITransport(simulator_app(portal)), OwnedClock()
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), transport) as http:
        rate_limiter = RateLimiter(10**6, 10, DailyQuota(10**6, clock), clock)
        client = HubSpotClient(http, rate_limiter, "2026-03", PORTAL_ID, id_property=id_property)
        by_email = HubSpotClient(http, rate_limiter, "2026-03", PORTAL_ID)
        await write([by_email, client, by_email], world, records)
        try:
            page = await said_by_page(index, clock, transport, committed, id_property)
            audit = await said_by_audit(client, clock, world, index, folder, committed)
        finally:
            index.close()
    return page, audit


async def write(clients: Sequence[HubSpotClient], world: World, records: Sequence[KafkaRecord]) -> None:
    envelopes = [read_envelope(record.key, record.value or b"") for record in records]
    for client, key, wanted in zip(clients, KEYS, world.at_hubspot, strict=True):
        if wanted is not None:
            own = [one for one in envelopes if one.contact.email == key and one.sequence <= wanted.up_to]
            properties = coalesced_properties(map(contact_properties, own))
            changed = {"nerava_total_nova_earned_cents": "7"} if wanted.changed else {}
            with await client.slot():
                await client.upsert([Upsert("1", key, {**properties, **changed})])


async def said_by_page(
    index: Index,
    clock: OwnedClock,
    transport: httpx.AsyncBaseTransport,
    committed: Mapping[tuple[str, int], int],
    id_property: str,
) -> Said:
    asked = Settings(
        hubspot_private_app_token=SecretStr(TOKEN),
        hubspot_portal_id=PORTAL_ID,
        hubspot_api_base_url="http://hubspot",
        hubspot_id_property=id_property,
    )
    present = PresentState(asked, index, clock, transport)
    said: Said = {}
    for key in KEYS:
        compared = await present.compare(key, committed)
        differing = {each.name for each in compared.properties if each.verdict != "same"}
        missing = compared.contact_id is None and bool(compared.properties)
        said[key] = (missing, set() if missing else differing)
    await present.close()
    return said


async def said_by_audit(
    client: HubSpotClient,
    clock: OwnedClock,
    world: World,
    index: Index,
    folder: Path,
    committed: Mapping[tuple[str, int], int],
) -> Said:
    run = Run.open(folder, "audit", {}, BEGAN, fresh=True)
    with Extract.of(index, TOPICS) as extract:
        events = [event for key in KEYS for event in extract.stored(key)]
        letters = [letter for key in KEYS for letter in extract.letters(key)]
    ends = dict.fromkeys(committed, 100)
    run.store.add(events, ends)
    for number, move in enumerate(world.moves()):
        run.store.note_move(*move, number)
    selection = Selection(
        set_aside=frozenset(place for letter in letters for place in letter.places), dead_letters=False
    )
    quiet = cast("Any", QuietTopics(ends, committed))
    topics = TopicProjections(run, quiet, quiet, selection, Report(most_refused=100))
    held = HubSpotReader(client, Retries(CircuitBreaker(clock), clock, random.Random(1)))
    access = SimpleNamespace(suppressions=SimpleNamespace(contains=lambda _: False), client=client, reader=held)
    try:
        await topics.read(lambda _done, _total: None)
        found = await Audit(topics, cast("Any", access)).compare([KEYS])
    finally:
        run.close(keep=False)
    of = {key: [each for each in found if each.contact == key] for key in KEYS}
    return {
        key: (any(each.kind == "missing" for each in each_of), {each.name for each in each_of if each.name})
        for key, each_of in of.items()
    }


@pytest.mark.parametrize("id_property", [EMAIL, ID_PROPERTY])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds)
@example(world=MOVED_TWICE)
@example(world=TWO_CONTACTS)
def test_the_page_and_the_audit_find_the_same_differences(provisioned: Portal, world: World, id_property: str) -> None:
    provisioned.contacts = Contacts(provisioned.schema, provisioned.clock)
    with tempfile.TemporaryDirectory() as folder:
        page, audit = asyncio.run(said_by_page_and_audit(provisioned, world, Path(folder), id_property))

    assert page == audit
