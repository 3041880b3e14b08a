"""Topics that a consumer asks about without reading them: their offsets, for a lag or before a run.

aiokafka learns where they are one topic at a time, and waits a tenth of a second after each: a second for ours.
"""

from collections.abc import Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher

_ask_as_before: Final = Fetcher._proc_offset_requests  # noqa: SLF001 - there is no public way


def learn_asked_topics_at_once() -> None:
    """Make every aiokafka consumer of this process learn of all topics together that it asks about, from now on."""
    Fetcher._proc_offset_requests = _ask  # noqa: SLF001 - see above


async def _ask(fetcher: Any, timestamps: Mapping[TopicPartition, int]) -> Any:
    for topic in {partition.topic for partition in timestamps}:
        # One request has all of them: it is made when this coroutine next waits.
        fetcher._client.add_topic(topic)  # noqa: SLF001 - see above
    return await _ask_as_before(fetcher, timestamps)
