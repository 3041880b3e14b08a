"""The events of that console's month by time: more of them by day than by night."""

import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

from aiokafka import TopicPartition

from console.runs.event_times import EventTimes
from tests.console.still.clock import NOW
from tests.kafka.kafka_records import TOPICS

SHARES: Final = {"nova_earned": 0.6, "nova_redeemed": 0.25, "driver_signed_up": 0.1, "wallet_pass_installed": 0.05}
AN_HOUR: Final = 3_600
BEGAN: Final = NOW - timedelta(days=30)


class StillTimes(EventTimes):
    """Counts as it does, by offsets that a formula gives."""

    async def _connected(self) -> Any:
        self._partitions = [TopicPartition(TOPICS.of(name), 0) for name in SHARES]
        return cast("Any", _Offsets())


class _Offsets:
    async def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def since_each(
        self, moments: Sequence[datetime], partitions: Collection[TopicPartition]
    ) -> list[dict[TopicPartition, int]]:
        return [{one: _until(moment, one) for one in partitions} for moment in moments]


def _until(moment: datetime, partition: TopicPartition) -> int:
    """Return the number of events until *moment*: they come in waves of a day."""
    hours = min(max((moment - BEGAN) / timedelta(hours=1), 0), 30 * 24)
    waves = 24 / math.tau * math.sin(hours * math.tau / 24)
    return int(SHARES[partition.topic.removeprefix(TOPICS.prefix)] * AN_HOUR * (1.2 * hours + waves))
