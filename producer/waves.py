"""Waves: which rows of the outbox may travel together without putting a contact's events out of order."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiokafka.partitioner import murmur2


@dataclass(frozen=True)
class Row:
    """A row of `outbox_events`, as text. What was inserted by hand may lack a key, a sequence or a payload."""

    position: int
    id: str
    key: str | None
    type: str
    sequence: int | None
    payload: str | None
    traceparent: str | None


Wave = Mapping[tuple[str, int], Sequence[Row]]
"""Rows by topic and partition. A wave goes out when all of the wave before is acknowledged."""


def waves(rows: Iterable[Row], topic_of: Callable[[Row], str], partitions: int) -> Iterator[Wave]:
    """Return *rows*, in as few waves as keep each contact's order.

    A row travels with its contact's row before it when both go to the same topic, hence behind it in the same
    partition; otherwise in the next wave.
    """
    last: dict[str, tuple[int, str]] = {}
    found: list[defaultdict[tuple[str, int], list[Row]]] = []
    for row in rows:
        topic = topic_of(row)
        wave, last_topic = last.get(row.key, (0, topic)) if row.key else (0, topic)
        if topic != last_topic:
            wave += 1
        if row.key:
            last[row.key] = (wave, topic)
        if wave == len(found):
            found.append(defaultdict(list))
        found[wave][topic, partition_of(row, partitions)].append(row)
    return iter(found)


def partition_of(row: Row, partitions: int) -> int:
    """Return where Kafka's own clients would put the row's key; a row without one is spread by its id."""
    hashed: int = murmur2((row.key or row.id).encode())
    return (hashed & 0x7FFFFFFF) % partitions
