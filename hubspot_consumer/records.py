"""A record as it was read from Kafka, before anybody knows whether it is an envelope."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.envelope import Headers


@dataclass(frozen=True)
class Record:
    topic: str
    partition: int
    offset: int
    timestamp: datetime
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def traceparent(self) -> str | None:
        return Headers.decode(self.headers).traceparent
