"""Checks of the brokers and of the topics' copies on them. Kafka itself may list brokers that are dead for long."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from hubspot_consumer.doctor.examination import Answer, count, fail, ok, warn
from runtime.kafka.admission import KafkaAway, KafkaRefused, why_not
from runtime.kafka.broker import Broker
from runtime.kafka.topic_settings import REPLICAS_TO_SPARE
from runtime.kafka.topics import Partitions, look

ANSWER_WITHIN_S: Final = 3.0
OFFSETS: Final = "__consumer_offsets"
GET_BROKERS: Final = "start the brokers that are missing"
GET_COPIES: Final = "wait until the brokers have caught up, or repair the one that does not"
GET_OFFSETS_COPIES: Final = (
    "give it more with kafka-reassign-partitions.sh, and set offsets.topic.replication.factor on the brokers"
)

Described = Mapping[str, Partitions]


async def brokers_answer(
    admin: AIOKafkaAdminClient, options: Mapping[str, Any], described: Described, servers: str
) -> Answer:
    """Check which brokers of the cluster let a connection in."""
    listed = {one["node_id"]: (one["host"], one["port"]) for one in (await admin.describe_cluster())["brokers"]}
    reasons = await asyncio.gather(*(_fault(Broker(host, port, options)) for host, port in listed.values()))
    absent = {
        number: f"{host}:{port} ({why})"
        for (number, (host, port)), why in zip(listed.items(), reasons, strict=True)
        if why is not None
    }
    # Kafka lists no broker any more whose end it has noticed, but as a place of copies.
    places = {number for partitions in described.values() for one in partitions for number in one["replicas"]}
    absent |= {number: f"number {number}" for number in places - listed.keys()}
    if not absent:
        return ok(f"{count(len(listed), 'broker')}, reached at {servers}")
    total = len(listed.keys() | places)
    what = f"{total - len(absent)} of {count(total, 'broker')} answer, and not {', '.join(absent.values())}"
    if unwritable := [*_unwritable(described, absent)]:
        return fail(f"{what}: {count(len(unwritable), 'partition')} can't be written", GET_BROKERS)
    return warn(what, GET_BROKERS)


async def replicas(admin: AIOKafkaAdminClient, described: Described, replication_factor: int) -> Answer:
    """Check whether all copies of our topics are in sync, and whether the group's offsets have enough copies."""
    partitions = [(f"{name}-{one['partition']}", one) for name, each in described.items() for one in each]
    behind = [(name, one) for name, one in partitions if len(one["isr"]) < len(one["replicas"])]
    stopped = [name for name, one in behind if len(one["isr"]) < _least(one)]
    if stopped:
        return fail(f"too few copies in sync to be written: {_listed(stopped)}", GET_COPIES)
    if behind:
        what = f"{count(len(behind), 'partition')} of {len(partitions)} with copies that are not in sync"
        return warn(f"{what}: {_listed([name for name, _ in behind])}", GET_COPIES)
    of_offsets = (await look(admin, [OFFSETS])).get(OFFSETS, ())
    copies = min((len(one["replicas"]) for one in of_offsets), default=replication_factor)
    if copies < replication_factor:
        what = f"{OFFSETS} has {copies} copies, and KAFKA_REPLICATION_FACTOR is {replication_factor}"
        return warn(f"{what}: the group's offsets can be lost with a broker", GET_OFFSETS_COPIES)
    return ok(f"in sync, of {count(len(partitions), 'partition')}")


async def _fault(broker: Broker) -> str | None:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            fault = await why_not(broker)
    except TimeoutError:
        return f"nothing within {ANSWER_WITHIN_S:g} s"
    except (KafkaError, KafkaAway, KafkaRefused) as error:
        return str(error)
    return None if fault is None else str(fault)


def _unwritable(described: Described, absent: Collection[int]) -> Iterator[str]:
    for name, partitions in described.items():
        for one in partitions:
            if len(set(one["replicas"]) - set(absent)) < _least(one):
                yield f"{name}-{one['partition']}"


def _least(partition: Mapping[str, Any]) -> int:
    """Return how many copies our topics want in sync before they take a record."""
    return 2 if len(partition["replicas"]) >= REPLICAS_TO_SPARE else 1


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
