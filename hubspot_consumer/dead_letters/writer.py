"""The writer of dead letters: it sets records aside with their reason, so that a bad event blocks no other contact."""

from collections import Counter
from dataclasses import replace
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from runtime.clock import Clock
from runtime.kafka.topic_writer import TOO_LARGE
from runtime.logs import log
from schemas.dead_letters import DeadLetter
from schemas.texts import LONGEST_KEPT

RETRY_S: Final = 1.0
# The parts that are left out, one step after the other, until Kafka takes the record. Its place on its own topic, where
# the whole record is, is in a header that always remains.
_LEFT_OUT: Final = ((), ("value",), ("headers",), ("value", "headers"), ("value", "headers", "key"))
# The record is larger than our producer sends or than the topic takes, or aiokafka can't encode a part of it.
_AT_FAULT: Final = (*TOO_LARGE, ValueError, TypeError, OverflowError, AssertionError)


class DeadLetterWriter:
    """Writes records to the dead letters' topic with their own key, value and headers, and headers for the reason.

    The producer must not be idempotent: after a broker has refused a record, aiokafka's idempotent one can't send any.
    """

    def __init__(self, kafka: AIOKafkaProducer, topic: str, clock: Clock, telemetry: Telemetry) -> None:
        self._kafka = kafka
        self._topic = topic
        self._clock = clock
        self._telemetry = telemetry
        self.by_reason: Counter[str] = Counter()

    async def put(self, record: Record, reason: str, detail: str, attempts: int) -> None:
        """Return when Kafka has acknowledged the dead letter. Waits out an outage, so that the record is not lost."""
        dead_letter = DeadLetter(
            reason=reason,
            detail=detail[:LONGEST_KEPT],
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=attempts,
            failed_at=self._clock.now(),
        )
        while not await self._sent(record, dead_letter):
            await self._clock.sleep(RETRY_S)
        self.by_reason[reason] += 1
        self._telemetry.dead_letters.labels(reason).inc()
        log.warning("dead_letter.written", **record.log_fields, reason=reason, detail=detail, attempts=attempts)

    async def _sent(self, record: Record, dead_letter: DeadLetter) -> bool:
        for left_out in _LEFT_OUT:
            try:
                await self._send(record, dead_letter, left_out)
            except _AT_FAULT:
                continue
            except KafkaError as error:
                log.warning("dead_letter.not_written", **record.log_fields, error=type(error).__name__)
                return False
            if left_out:
                log.warning("dead_letter.cut", **record.log_fields, left_out=left_out)
            return True
        log.error("dead_letter.too_large", **record.log_fields)
        return False

    async def _send(self, record: Record, dead_letter: DeadLetter, left_out: tuple[str, ...]) -> None:
        if left_out:
            without = f"; set aside without its {' and '.join(left_out)}, which the topic does not take"
            dead_letter = replace(dead_letter, detail=dead_letter.detail + without)
        value = None if "value" in left_out else record.value
        # An empty key names no contact, as no key does, and Kafka's client wants a key or a value.
        key = b"" if "key" in left_out or (record.key is None and value is None) else record.key
        headers = dead_letter.headers(() if "headers" in left_out else record.headers)
        await self._kafka.send_and_wait(self._topic, key=key, value=value, headers=headers)
