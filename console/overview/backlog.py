"""The backlog: events that wait in the outbox and in Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import psycopg

from hubspot_consumer.kafka.lag import Lag
from runtime.database import reading

# Rows are counted up to this number, so that the query stays fast on a large outbox.
COUNTED: Final = 100_000
CONNECT_WITHIN_S: Final = 3
STATEMENT_WITHIN: Final = timedelta(seconds=3)

_OUTBOX: Final = f"""
SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox_events LIMIT {COUNTED}) AS counted),
       now() - (SELECT created_at FROM outbox_events ORDER BY position LIMIT 1),
       (SELECT count(*) FROM (SELECT 1 FROM outbox_parked LIMIT {COUNTED}) AS parked)
"""  # noqa: S608 - the only inserted value is a constant number


@dataclass(frozen=True)
class OutboxBacklog:
    """The unpublished rows of the outbox, the age of the first, and events parked until their user has an email."""

    rows: int
    oldest: timedelta | None
    parked: int


@dataclass(frozen=True)
class TopicsBacklog:
    """The group's lag by topic, and the number of records ever written to the topics."""

    lag: Mapping[str, int]
    written: int


async def ask_outbox(url: str) -> OutboxBacklog:
    """Return the backlog of the outbox. Raises psycopg.Error."""
    async with (
        await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=CONNECT_WITHIN_S, application_name="nerava-console"
        ) as connection,
        reading(connection, statement_within=STATEMENT_WITHIN),
    ):
        [[rows, oldest, parked]] = await (await connection.execute(_OUTBOX)).fetchall()
    return OutboxBacklog(rows, max(oldest, timedelta()) if oldest is not None else None, parked)


class TopicsReader:
    """Reads the lag from Kafka. It connects on the first reading."""

    def __init__(self, options: dict[str, Any], group: str, topics: tuple[str, ...]) -> None:
        self._options: Final = options
        self._group: Final = group
        self._topics: Final = topics
        self._lag: Lag | None = None

    async def ask(self) -> TopicsBacklog:
        """Return the backlog of the topics. Raises KafkaError, TopicsMissing and UnequalPartitions."""
        if self._lag is None:
            lag = Lag(self._options, self._group, self._topics)
            try:
                await lag.start()
            except BaseException:
                await lag.stop()
                raise
            self._lag = lag
        await self._lag.require_topics()
        return TopicsBacklog(await self._lag.read(), self._lag.written)

    async def stop(self) -> None:
        if self._lag is not None:
            await self._lag.stop()
