"""Records of a hand-made producer that are odd, but readable or nearly so."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from sandbox.services import Service
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(120)

AT = "2026-11-24T03:00:00Z"
EARNED = {"user_id": "usr_1", "amount_cents": 1, "session_id": "ses_1", "new_balance_cents": 1}


def envelope(email: str, sequence: int | None, at: datetime | None = None, **changes: Any) -> dict[str, Any]:
    moment = (at or datetime.now(UTC)).isoformat()
    made = {
        "id": str(uuid4()),
        "type": "nova_earned",
        "schema_version": 1,
        "sequence": sequence,
        "occurred_at": moment,
        "contact": {"email": email, "external_id": None},
        "totals": {"nova_earned_cents": sequence or 0, "nova_redeemed_cents": 0},
        "payload": EARNED | {"earned_at": moment},
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


class Hand:
    """Sends records as they are."""

    def __init__(self, pipeline: Pipeline, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._topics = pipeline.topics

    async def send(self, *envelopes: dict[str, Any], key: str | None = None, to: str = "nova_earned") -> None:
        for made in envelopes:
            name = key or made["contact"]["email"]
            await self._producer.send_and_wait(self._topics.of(to), json.dumps(made).encode(), key=name.encode())


async def timeline(pipeline: Pipeline, email: str, number: int) -> list[dict[str, Any]]:
    async def there() -> list[dict[str, Any]] | None:
        found = await pipeline.simulator.timeline_of(email)
        return found if len(found) >= number else None

    found = await eventually(there, within_s=30, saying=f"{number} entries on the timeline of {email}")
    assert found is not None
    return found


async def test_every_odd_record_has_its_rule_and_none_stops_the_others(pipeline: Pipeline) -> None:
    await pipeline.consumer().launch_and_wait()
    await pipeline.simulator.change_settings(duplicate_uuid="reject")
    servers = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    async with AIOKafkaProducer(bootstrap_servers=servers, max_request_size=2_000_000) as producer:
        hand = Hand(pipeline, producer)

        # The same event twice leaves one entry.
        first, second = envelope("twice@example.com", 1), envelope("twice@example.com", 2)
        await hand.send(first, first, second, first, second)

        # One id for events of two contacts: both are written, and HubSpot keeps one entry of an id.
        one = envelope("one@example.com", 1)
        await hand.send(one, envelope("two@example.com", 1, id=one["id"]))

        # An event with a sequence that another event has is set aside.
        await hand.send(*(envelope("back@example.com", sequence) for sequence in (1, 2, 3)))
        await timeline(pipeline, "back@example.com", 3)
        await hand.send(envelope("back@example.com", 2))

        # A sequence that is none can't be put in order.
        await hand.send(*(envelope("none@example.com", sequence) for sequence in (0, -1, None, 2**63, 1)))

        # Two contacts with one external id are two contacts.
        for email in ("left@example.com", "right@example.com"):
            await hand.send(envelope(email, 1, contact={"email": email, "external_id": "usr_shared"}))

        # An event a year old is an event.
        long_ago = datetime.now(UTC) - timedelta(days=366)
        await hand.send(envelope("old@example.com", 1, long_ago))

        # A megabyte in a field that nobody knows is passed over, in one that we know it can't be meant.
        text = "x" * 1_000_000
        await hand.send(envelope("long@example.com", 1, note=text))
        await hand.send(envelope("longer@example.com", 1, payload=EARNED | {"earned_at": AT, "session_id": text}))

        # A key in capitals may be in another partition than its contact's.
        await hand.send(envelope("case@example.com", 1), key="Case@Example.com")
        await hand.send(envelope("case@example.com", 1))

    singles = ("none", "left", "right", "old", "long", "case")
    for name, entries in {"twice": 2, "back": 3, **dict.fromkeys(singles, 1)}.items():
        email = f"{name}@example.com"
        assert len(await timeline(pipeline, email, entries)) == entries
    contacts = (await pipeline.simulator.accepted()).contacts
    held = {email: int(contact["properties"]["nerava_event_sequence"]) for email, contact in contacts.items()}
    assert [held[f"{name}@example.com"] for name in ("twice", "one", "two", "back")] == [2, 1, 1, 3]
    shared = [contacts[f"{name}@example.com"] for name in ("left", "right")]
    assert [contact["properties"]["nerava_external_id"] for contact in shared] == ["usr_shared"] * 2
    [old] = await timeline(pipeline, "old@example.com", 1)
    assert old["occurredAt"].startswith(long_ago.date().isoformat())

    dead = sorted(letter.reason for letter in await pipeline.until_set_aside(7))
    assert dead == ["invalid_envelope"] * 5 + ["key_mismatch", "sequence_reused"]


# The simulation has both: transactions that end, and holes. tests/integration/hubspot_consumer/test_gaps.py has the
# markers of a real broker.
@pytest.mark.chaos
async def test_a_transactional_producer_leaves_no_lag_and_a_hole_among_its_records_is_released(
    pipeline: Pipeline,
) -> None:
    worker = pipeline.consumer()
    await worker.launch_and_wait()
    servers = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=uuid4().hex) as producer:
        hand = Hand(pipeline, producer)
        # Every partition of three topics ends with the marker of the transaction.
        async with producer.transaction():
            for to in ("nova_earned", "nova_redeemed", "driver_signed_up"):
                await hand.send(*(envelope(f"{to}{n}@example.com", 1) for n in range(30)), to=to)
            await hand.send(envelope("hole@example.com", 2))

    assert len(await timeline(pipeline, "hole@example.com", 1)) == 1
    await pipeline.until_arrived(3 * 30 + 1)
    await pipeline.until_finished(within_s=10)
    await eventually(lambda: _no_lag(worker), saying="the worker's status has no lag")


async def _no_lag(worker: Service) -> bool:
    return not any((await worker.status())["lag"].values())
