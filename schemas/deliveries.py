"""Receipts: small records of the outcomes of a worker's deliveries."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from schemas.envelope import LARGEST
from schemas.texts import Name, Words
from schemas.times import KeptTime

ReceiptOutcome = Literal["delivered", "dead_lettered", "suppressed"]
"""How a delivery ended. Records of the topic contain these words, so they are a public contract."""


MOST_PROPERTIES: Final = 1_000
Number = Annotated[int, Field(ge=0, le=LARGEST)]
"""A number in a record that databases can store."""


class Receipt(BaseModel):
    """One outcome of one record. What the record did not tell is None, or empty; the newest of an event counts.

    `at` is when it ended, `published_at` when Kafka took the record. `properties` are the names of the contact's
    properties that the event set. `attempts` is 0 where none was made. Texts that are too long are cut.
    """

    model_config = ConfigDict(frozen=True)

    event_id: Name | None
    type: Name
    sequence: Number | None
    outcome: ReceiptOutcome
    at: KeptTime
    attempts: Number
    topic: Name
    partition: Number
    offset: Number
    published_at: KeptTime
    contact_id: Name | None = None
    properties: tuple[Name, ...] = Field((), max_length=MOST_PROPERTIES)
    reason: Words | None = None
    detail: Words | None = None

    @classmethod
    def read(cls, value: bytes | None) -> Self | None:
        """Return the receipt in a record's value; None if this version can't read it."""
        try:
            return cls.model_validate_json(value or b"")
        except ValidationError:
            return None


_UNTOLD: Final = {**dict.fromkeys(Receipt.model_fields), "properties": ()}


def receipt_value(**fields: Any) -> bytes:
    """Return the record's value of a receipt with *fields*, which are not checked.

    A worker writes thousands in a second, of values that were checked on reading. A model would cost five times this.
    """
    return to_json(_UNTOLD | fields)
