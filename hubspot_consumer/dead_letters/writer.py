"""The writer of dead letters: it sets records aside with their reason, so that a bad event blocks no other contact."""

from collections import Counter
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from runtime.clock import Clock
from runtime.logs import log
from schemas.dead_letters import DeadLetter

RETRY_S: Final = 1.0


class DeadLetterWriter:
    """Writes records to the dead letters' topic with their own key, value and headers, and headers for the reason."""

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
            detail=detail,
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
        headers = dead_letter.headers(record.headers)
        # If the headers make the record too large, it is sent without its value: the headers name the original record.
        for value in (record.value, None):
            try:
                await self._kafka.send_and_wait(self._topic, key=record.key, value=value, headers=headers)
            except MessageSizeTooLargeError:
                continue
            except KafkaError as error:
                log.warning("dead_letter.not_written", **record.log_fields, error=type(error).__name__)
                return False
            return True
        log.error("dead_letter.too_large", **record.log_fields)
        return False
