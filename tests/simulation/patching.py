"""What is replaced while a simulation runs: sockets, Faust and psycopg, and the sources of time and chance."""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from unittest.mock import patch

from aiokafka.errors import KafkaError

from runtime.clock import SystemClock
from runtime.kafka.admission import KafkaAway
from tests.simulation.kafka.admin import Admin
from tests.simulation.kafka.cluster import CLUSTER
from tests.simulation.kafka.consumer import Consumer
from tests.simulation.kafka.member import SimulatedMember
from tests.simulation.kafka.producer import Producer
from tests.simulation.loop import CURRENT, SimulatedLoop

START: Final = datetime(2026, 11, 24, 9, tzinfo=UTC)

Patch = tuple[str, Any]


async def _ask_admission(_options: object) -> None:
    try:
        await CLUSTER.get().ask(lambda: None, within_s=5)
    except KafkaError as error:
        raise KafkaAway(str(error)) from None


KAFKA: Final[Sequence[Patch]] = (
    ("hubspot_consumer.worker.wiring.AIOKafkaProducer", Producer),
    ("hubspot_consumer.worker.wiring.FaustWorker", SimulatedMember),
    ("runtime.kafka.topic_reader.AIOKafkaConsumer", Consumer),
    ("runtime.kafka.topic_writer.AIOKafkaProducer", Producer),
    ("hubspot_consumer.kafka.lag.AIOKafkaAdminClient", Admin),
    ("hubspot_consumer.holds.run.AIOKafkaAdminClient", Admin),
    ("runtime.kafka.topics.AIOKafkaAdminClient", Admin),
    ("hubspot_consumer.dead_letters.reader.AIOKafkaAdminClient", Admin),
    ("runtime.kafka.admission.ask_admission", _ask_admission),
)


@contextmanager
def replaced(loop: SimulatedLoop, chance: random.Random, more: Sequence[Patch] = ()) -> Iterator[None]:
    """Replace the outside world in this context. All chance is drawn from *chance*."""

    class SeededRandom(random.Random):
        def __init__(self, seed: Any = None) -> None:
            super().__init__(chance.getrandbits(64) if seed is None else seed)

    def monotonic(_clock: SystemClock) -> float:
        return loop.time()

    def now(_clock: SystemClock) -> datetime:
        return START + timedelta(seconds=loop.time() + CURRENT.get(loop.world).clock_ahead_s)

    with ExitStack() as patches:
        for name, replacement in (*KAFKA, *more):
            patches.enter_context(patch(name, replacement))
        patches.enter_context(patch.object(SystemClock, "monotonic", monotonic))
        patches.enter_context(patch.object(SystemClock, "now", now))
        patches.enter_context(patch.object(random, "Random", SeededRandom))
        patches.enter_context(patch.object(os, "urandom", chance.randbytes))
        yield
