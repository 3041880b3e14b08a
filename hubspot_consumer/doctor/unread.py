"""What the doctor says of records that the workers' group does not read where it was."""

from collections.abc import Iterable
from typing import Final

from hubspot_consumer.doctor.examination import Answer, count, fail, ok, warn
from hubspot_consumer.kafka.group import UnreadRecords

GET_DELETED: Final = (
    "`audit` shows what HubSpot lacks, and only the backend can bring it again; raise the topics' retention.ms, and "
    "find out why workers were behind for so long"
)
GET_FORGOTTEN: Final = (
    "nothing is lost: workers read them from their beginning, and repeated events are harmless. Raise the brokers' "
    "offsets.retention.minutes above the longest time without a worker. If CONSUMER_GROUP is new, ignore this"
)


def unread_answer(found: UnreadRecords, group: str) -> Answer:
    """Return the finding about the group's offsets."""
    if found.deleted:
        places = (f"{one.topic}-{one.partition} {at:,} to {to - 1:,}" for one, (at, to) in found.deleted.items())
        return fail(f"retention has deleted records that {group} had not read: {_listed(places)}", GET_DELETED)
    if found.forgotten:
        places = (f"{one.topic}-{one.partition}" for one in found.forgotten)
        what = f"Kafka has lost the offsets of {group} in {count(len(found.forgotten), 'partition')}: {_listed(places)}"
        return warn(what, GET_FORGOTTEN)
    return ok(f"{group} continues where it was")


def _listed(places: Iterable[str]) -> str:
    first, more = [*places], ""
    if len(first) > 3:
        first, more = first[:3], ", …"
    return ", ".join(first) + more
