"""Records as the worker has them."""

from typing import Any, cast

from hubspot_consumer.kafka.records import Record
from schemas.times import moment_of
from tests.kafka.kafka_records import KafkaRecord


def as_read(record: KafkaRecord) -> Record:
    """Return the record as the worker has it from Faust."""
    headers = [(name, value) for name, value in record.headers]
    moment = moment_of(record.timestamp / 1000)
    return Record(record.topic, record.partition, record.offset, moment, record.key, record.value, cast("Any", headers))
