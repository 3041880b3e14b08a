"""The backlog: what waits in the outbox, and in Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import psycopg

from hubspot_consumer.kafka.lag import Lag
from runtime.database import reading

# Counted so far: what is beyond is a lot.
COUNTED: Final = 100_000
CONNECT_WITHIN_S: Final = 3
STATEMENT_WITHIN: Final = timedelta(seconds=3)

_OUTBOX: Final = f"""
SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox_events LIMIT {COUNTED}) AS counted),
       now() - (SELECT created_at FROM outbox_events ORDER BY position LIMIT 1),
       (SELECT count(*) FROM (SELECT 1 FROM outbox_parked LIMIT {COUNTED}) AS parked)
"""  # noqa: S608 - a number of ours is in it


@dataclass(frozen=True)
class OutboxBacklog:
    """Rows that no relay has published yet, the age of the first, and events whose user has no email yet."""

    rows: int
    oldest: timedelta | None
    parked: int


@dataclass(frozen=True)
class TopicsBacklog:
    """Events by topic that the group has not acked, and how many records there ever were."""

    lag: Mapping[str, int]
    written: int


async def ask_outbox(url: str) -> OutboxBacklog:
    """Return what waits in the outbox. Raises psycopg.Error."""
    async with (
        await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=CONNECT_WITHIN_S, application_name="nerava-console"
        ) as connection,
        reading(connection, statement_within=STATEMENT_WITHIN),
    ):
        row = await (await connection.execute(_OUTBOX)).fetchone()
    if row is None:
        raise ValueError("the outbox does not answer")
    rows, oldest, parked = row
    return OutboxBacklog(rows, max(oldest, timedelta()) if oldest is not None else None, parked)


class TopicsReader:
    """Asks Kafka; connects when it is first asked, and again after an outage."""

    def __init__(self, options: dict[str, Any], group: str, topics: tuple[str, ...]) -> None:
        self._options: Final = options
        self._group: Final = group
        self._topics: Final = topics
        self._lag: Lag | None = None

    async def ask(self) -> TopicsBacklog:
        """Return what waits in Kafka. Raises KafkaError."""
        if self._lag is None:
            lag = Lag(self._options, self._group, self._topics)
            try:
                await _begin(lag)
            except BaseException:
                await lag.stop()
                raise
            self._lag = lag
        by_topic = dict(await self._lag.read())
        return TopicsBacklog(by_topic, self._lag.written)

    async def stop(self) -> None:
        if self._lag is not None:
            await self._lag.stop()


async def _begin(lag: Lag) -> None:
    await lag.start()
    if missing := await lag.missing_topics():
        raise ValueError(f"no such topic: {', '.join(missing)}")
