"""The writer of dead letters' resolutions."""

import asyncio
from collections.abc import Awaitable, Iterable
from itertools import islice
from typing import Final

from hubspot_consumer.dead_letters.dead_letter import Letter, SetAside
from hubspot_consumer.dead_letters.resolutions import SET_ASIDE_AT, DeadAgain, Redriven, Resolution
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_writer import TopicWriter

SENT_AT_ONCE: Final = 2_000


class ResolutionWriter:
    """Writes resolutions to their topic until it is closed."""

    def __init__(self, kafka: KafkaConnection) -> None:
        self._writer: Final = TopicWriter(kafka, kafka.topics.resolutions)

    async def resolve(self, letters: Iterable[Letter], resolution: Resolution) -> None:
        """Return when Kafka has acknowledged the resolution for all records of *letters*, with their corrections.

        Raises KafkaError and TopicsNotReady.
        """
        alike, left = resolution.model_dump_json().encode(), iter(letters)
        while some := list(islice(left, SENT_AT_ONCE)):
            values = ((letter, _with_mend(letter, resolution) or alike) for letter in some)
            sent = [await self._send(record, value) for letter, value in values for record in letter.records]
            await asyncio.gather(*sent)

    async def _send(self, record: SetAside, value: bytes) -> Awaitable[object]:
        headers = [(SET_ASIDE_AT, str(record.at_ms).encode())]
        return await self._writer.send(record.id.encode(), value, headers)

    async def close(self) -> None:
        await self._writer.stop()


def _with_mend(letter: Letter, resolution: Resolution) -> bytes | None:
    """Return the value that repeats the dead letter's correction, or None: only the newest value counts."""
    if letter.mend is None or not isinstance(resolution, Redriven | DeadAgain):
        return None
    return resolution.model_copy(update={"mend": letter.mend}).model_dump_json().encode()
