"""Receipts: small records of the outcomes of a worker's deliveries."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.times import KeptTime

ReceiptOutcome = Literal["delivered", "dead_lettered", "suppressed"]
"""How a delivery ended. Records of the topic contain these words, so they are a public contract."""


class Receipt(BaseModel):
    """One outcome of one record. What the record did not tell is None, or empty; the newest of an event counts.

    `at` is when it ended, `published_at` when Kafka took the record. `properties` are the names of the contact's
    properties that the event set. `attempts` is 0 where none was made.
    """

    model_config = ConfigDict(frozen=True)

    event_id: str | None
    type: str
    sequence: int | None
    outcome: ReceiptOutcome
    at: KeptTime
    attempts: int
    topic: str
    partition: int
    offset: int
    published_at: KeptTime
    contact_id: str | None = None
    properties: tuple[str, ...] = ()
    reason: str | None = None
    detail: str | None = None
