"""A backlog: publishes envelopes without the outbox, in order for each contact, with the contacts mixed."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any, Final
from uuid import UUID

from aiokafka import AIOKafkaProducer

from producer.relay.row import Row, partition_of
from sandbox.day.progress import Progress
from schemas.envelope import Headers
from schemas.events import EVENT_TYPES
from schemas.topics import Topics

AT: Final = "2026-11-24T03:00:00Z"
USER: Final = '"user_id": "usr_1", '
PAYLOADS: Final = {
    "driver_signed_up": f'{USER}"email": "a@example.com", "auth_provider": "apple", "created_at": "{AT}"',
    "wallet_pass_installed": f'{USER}"pass_type": "apple", "installed_at": "{AT}"',
    "nova_earned": f'{USER}"amount_cents": 5, "session_id": "s", "new_balance_cents": 5, "earned_at": "{AT}"',
    "nova_redeemed": (
        f'{USER}"amount_cents": 5, "merchant_id": "m", "redemption_id": "r", "new_balance_cents": 5, '
        f'"redeemed_at": "{AT}"'
    ),
    "first_redemption_completed": (
        f'{USER}"redemption_id": "r", "merchant_id": "m", "amount_cents": 5, "completed_at": "{AT}"'
    ),
    "merchant_contact_created": (
        f'"merchant_id": "m", "email": "a@example.com", "name": "Ada L", "business_name": "Cafe", "created_at": "{AT}"'
    ),
    "merchant_contact_updated": f'"merchant_id": "m", "email": "a@example.com", "phone": "1", "updated_at": "{AT}"',
}
RECORDS_AT_ONCE: Final = 2_000
BATCH_BYTES: Final = 512 * 1024


def rows(events: int, contacts: int, *, poisoned: int = 0, seed: int = 1) -> Iterator[Row]:
    """Yield *events* rows; HubSpot refuses the emails of the first *poisoned* contacts."""
    random, sequences = Random(seed), Counter[int]()  # noqa: S311 - must be repeatable, not secret
    for position in range(events):
        contact = random.randrange(contacts)
        sequences[contact] += 1
        sequence = sequences[contact]
        event_type = EVENT_TYPES[(contact + sequence) % len(EVENT_TYPES)]
        email = f"contact{contact}@example.{'con' if contact < poisoned else 'com'}"
        value = (
            f'{{"id": "{UUID(int=position)}", "type": "{event_type}", "schema_version": 1, "sequence": {sequence}, '
            f'"occurred_at": "{AT}", "contact": {{"email": "{email}", "external_id": "usr_{contact}"}}, '
            f'"totals": {{"nova_earned_cents": {sequence}, "nova_redeemed_cents": 0}}, '
            f'"payload": {{{PAYLOADS[event_type]}}}}}'
        )
        yield Row(position, str(UUID(int=position)), email, event_type, sequence, value, None)


async def publish(servers: str, topics: Topics, partitions: int, made: Iterator[Row], say: Progress) -> None:
    """Publish the rows *made* in the format of the relay, without a database."""
    async with AIOKafkaProducer(bootstrap_servers=servers, acks=1, max_batch_size=BATCH_BYTES) as producer:
        waiting: list[Row] = []
        for number, row in enumerate(made, 1):
            waiting.append(row)
            if len(waiting) == RECORDS_AT_ONCE:
                await _send(producer, topics, partitions, waiting)
                waiting.clear()
            if number % 100_000 == 0:
                say(f"{number:,} events published")
        await _send(producer, topics, partitions, waiting)


async def steadily(
    servers: str, topics: Topics, partitions: int, made: Iterator[Row], per_s: float
) -> AsyncIterator[Row]:
    """Publish the rows *made* one by one, *per_s* a second; yield each when it is due."""
    async with AIOKafkaProducer(bootstrap_servers=servers, acks=1) as producer:
        began = time.monotonic()
        for number, row in enumerate(made):
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
            yield row
            await producer.send(
                topics.of(row.type),
                key=(row.key or "").encode(),
                value=(row.payload or "").encode(),
                headers=Headers(row.id, row.type, row.sequence).encode(),
                partition=partition_of(row, partitions),
            )


async def _send(producer: AIOKafkaProducer, topics: Topics, partitions: int, made: list[Row]) -> None:
    batches: dict[tuple[str, int], list[Row]] = {}
    for row in made:
        batches.setdefault((topics.of(row.type), partition_of(row, partitions)), []).append(row)
    sent = []
    for (topic, partition), together in batches.items():
        batch = producer.create_batch()
        for row in together:
            while _append(batch, row) is None:
                # The batch is full.
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)


def _append(batch: Any, row: Row) -> Any:
    return batch.append(
        timestamp=None,
        key=(row.key or "").encode(),
        value=(row.payload or "").encode(),
        headers=Headers(row.id, row.type, row.sequence).encode(),
    )
