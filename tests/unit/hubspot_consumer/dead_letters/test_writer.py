"""The writer of dead letters: none is lost while Kafka is away, or takes only a part of it."""

from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError, RequestTimedOutError

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.metrics import Telemetry
from tests.clock import LoopClock, run_fast
from tests.samples import record


class Kafka:
    """A producer that answers with these errors, and then takes what it is given."""

    def __init__(self, *errors: KafkaError) -> None:
        self._errors = list(errors)
        self.taken: list[dict[str, Any]] = []

    async def send_and_wait(self, topic: str, **given: Any) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.taken.append({"topic": topic, **given})


def put(kafka: Kafka) -> DeadLetterWriter:
    """Return the writer that has put one dead letter."""
    writer = DeadLetterWriter(cast("Any", kafka), "dead_letters", LoopClock(), Telemetry())
    run_fast(writer.put(record(), "rejected_by_hubspot", "no", attempts=1))
    return writer


@pytest.mark.parametrize("error", [KafkaConnectionError(), RequestTimedOutError()])
def test_what_kafka_does_not_take_at_once_is_written_again_until_it_does(error: KafkaError) -> None:
    kafka = Kafka(error, error, error)

    writer = put(kafka)

    [taken] = kafka.taken
    assert (taken["topic"], taken["value"]) == ("dead_letters", record().value)
    assert writer.by_reason == {"rejected_by_hubspot": 1}


def test_what_is_too_large_with_its_value_is_written_without_it_and_says_so() -> None:
    kafka = Kafka(MessageSizeTooLargeError())

    put(kafka)

    [taken] = kafka.taken
    assert (taken["key"], taken["value"]) == (record().key, None)
    assert any(b"set aside without its value" in value for _, value in taken["headers"])
