"""The writer of dead letters' resolutions."""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Final

from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.resolutions import SET_ASIDE_AT, DeadAgain, Redriven, Resolution
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_writer import TopicWriter

SENT_AT_ONCE: Final = 2_000


class ResolutionWriter(TopicWriter):
    """Writes resolutions to their topic until it is stopped."""

    def __init__(self, kafka: KafkaConnection) -> None:
        super().__init__(kafka, kafka.topics.resolutions)

    async def resolve(self, letters: Iterable[Letter], resolution: Resolution) -> None:
        """Return when Kafka has acknowledged the resolution for all records of *letters*, with their corrections.

        Raises KafkaError and TopicsNotReady.
        """
        alike, left = resolution.model_dump_json().encode(), iter(letters)
        while some := list(islice(left, SENT_AT_ONCE)):
            acks = []
            for letter in some:
                value = _with_correction(letter, resolution) or alike
                for record in letter.records:
                    headers = [(SET_ASIDE_AT, str(record.at_ms).encode())]
                    acks.append(await self.send(record.id.encode(), value, headers))
            await asyncio.gather(*acks)


def _with_correction(letter: Letter, resolution: Resolution) -> bytes | None:
    """Return the value that repeats the dead letter's correction, or None: only the newest value counts."""
    if letter.mend is None or not isinstance(resolution, Redriven | DeadAgain):
        return None
    return resolution.model_copy(update={"mend": letter.mend}).model_dump_json().encode()
