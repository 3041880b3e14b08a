"""The parallel scan: processes that read many events into one store, each from some of the partitions."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from aiokafka import TopicPartition

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.history.processes import processes, processes_for
from hubspot_consumer.history.scan import MOST_BYTES, Scan
from hubspot_consumer.history.store import EventStore
from hubspot_consumer.kafka.records import Offsets, Place
from runtime import logs
from runtime.clock import SystemClock
from runtime.kafka.clients import prepare_clients
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_reader import Progress, TopicReader
from schemas.contacts import ContactKey

# Events per process.
WORTH_A_PROCESS: Final = 100_000
TOLD_EVERY_S: Final = 0.2


@dataclass(frozen=True)
class Reading:
    """What to read: the arguments of a `Scan`, the file of its store, and how to connect to Kafka.

    The *secrets* are what no log of the processes may contain.
    """

    kafka: KafkaConnection
    file: Path
    partitions: Sequence[TopicPartition]
    contacts: frozenset[ContactKey]
    mends: Mapping[Place, Correction]
    secrets: tuple[str, ...] = ()

    def parts(self, number: int) -> list["Reading"]:
        """Return *number* parts of about equal size; a contact's partitions are in one part."""
        numbers = sorted({partition.partition for partition in self.partitions})
        chosen = [frozenset(numbers[first::number]) for first in range(number)]
        return [replace(self, partitions=[one for one in self.partitions if one.partition in each]) for each in chosen]


async def read_in_processes(reading: Reading, store: EventStore, ends: Offsets, progress: Progress) -> None:
    """Return when all records before *ends* are in the *store*, if they are so many that processes are worth it.

    Reading begins at the store's positions. Raises KafkaError.
    """
    begun = store.positions()
    total = sum(max(0, ends[one] - begun[one]) for one in reading.partitions)
    numbers = {one.partition for one in reading.partitions}
    number = min(processes_for(total, WORTH_A_PROCESS), len(numbers))
    if number < 2:
        return
    loop = asyncio.get_running_loop()
    with processes(number) as pool:
        told = loop.create_task(_tell(store, begun, {one: ends[one] for one in reading.partitions}, progress))
        try:
            await asyncio.gather(*(loop.run_in_executor(pool, _read, part, ends) for part in reading.parts(number)))
        finally:
            told.cancel()


async def _tell(store: EventStore, begun: Offsets, ends: Offsets, progress: Progress) -> NoReturn:
    total = sum(max(0, end - begun[one]) for one, end in ends.items())
    while True:
        await asyncio.sleep(TOLD_EVERY_S)
        positions = store.positions()
        progress(sum(min(positions[one], end) - min(begun[one], end) for one, end in ends.items()), total)


def _read(part: Reading, ends: Offsets) -> None:
    # As the commands do: standard output is for the report.
    logs.set_up(level=logging.WARNING, secrets=part.secrets)
    prepare_clients(for_long=False)
    asyncio.run(_read_part(part, {one: ends[one] for one in part.partitions}))


async def _read_part(part: Reading, ends: Offsets) -> None:
    with closing(EventStore(part.file)) as store:
        async with TopicReader(part.kafka.client_options(), fetch_max_bytes=MOST_BYTES) as reader:
            scan = Scan(reader, part.partitions, store, SystemClock(), contacts=part.contacts, mends=part.mends)
            if not scan.go_on():
                raise AssertionError("the store has no position of a partition")
            await scan.read_to(ends, lambda _done, _total: None)
