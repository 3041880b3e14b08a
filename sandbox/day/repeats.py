"""Repeats: the events that a service processes again after a restart, since they were not yet recorded as done."""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Final

import psycopg

from hubspot_consumer.kafka.lag import Lag
from runtime.kafka.topic_reader import TopicReader
from sandbox.day.ledger import EVENT_SEQUENCE, Accepted
from schemas.envelope import Headers
from schemas.topics import Topics

# A group without acks, so that all events count as not acked.
NO_GROUP: Final = "nobody"


async def to_publish_again(bootstrap_servers: str, topics: Topics, database_url: str) -> Collection[str]:
    """Return the ids of the events that are on Kafka and still in the outbox; no relay may be running."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        rows = await connection.execute("SELECT id::text FROM outbox_events")
        left = {event_id for (event_id,) in await rows.fetchall()}
    return left & {headers.id async for _, headers in _not_acked(bootstrap_servers, topics, NO_GROUP)}


async def to_deliver_again(bootstrap_servers: str, topics: Topics, group: str, accepted: Accepted) -> Collection[str]:
    """Return the ids of the events that HubSpot *accepted* at least in part, and that *group* has not acked."""
    entered = {event_id for event_id, _ in accepted.entries}
    return {
        headers.id
        async for key, headers in _not_acked(bootstrap_servers, topics, group)
        if headers.id in entered or (headers.sequence or 0) in range(1, _written(accepted.contacts.get(key)) + 1)
    }


def _written(contact: Mapping[str, Any] | None) -> int:
    return int((contact or {"properties": {}})["properties"].get(EVENT_SEQUENCE) or 0)


async def _not_acked(bootstrap_servers: str, topics: Topics, group: str) -> AsyncIterator[tuple[str, Headers]]:
    """Yield key and headers of the records that the group has not acked, up to the current end."""
    kafka = {"bootstrap_servers": bootstrap_servers}
    lag = Lag(kafka, group, topics.events)
    await lag.start()
    try:
        await lag.require_topics()
        async with TopicReader(kafka) as reader:
            reader.read_from(await lag.unfinished())
            async for record in reader.records_to(await lag.ends()):
                yield record.key.decode(), Headers.decode(record.headers)
    finally:
        await lag.stop()
