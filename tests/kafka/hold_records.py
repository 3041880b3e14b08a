"""Records of the topic of holds, as aiokafka reads them."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from hubspot_consumer.holds.records import HoldRecord, encoded


def as_read(record: HoldRecord | bytes, at: datetime) -> Any:
    value = record if isinstance(record, bytes) else encoded(record)[1]
    return SimpleNamespace(value=value, timestamp=int(at.timestamp() * 1000))
