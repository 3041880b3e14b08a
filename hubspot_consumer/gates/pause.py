"""Controls: commands of people to all workers. The only one is a pause, during which nothing is sent.

Controls are records of a compacted topic, which each worker reads before its first call and follows from then on. So a
pause also holds for workers that start later, until it is ended. A pause loses nothing: events wait in Kafka.

The topic has one record of another kind, the last probe's result, which workers pass over.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from hubspot_consumer.gates.circuit_breaker import CircuitBreaker, Paused
from hubspot_consumer.kafka.followed_topic import FollowedTopic
from runtime.clock import Clock
from runtime.endings import CannotGoOn
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_writer import TopicWriter
from schemas.texts import Words
from schemas.times import KeptTime, moment_of

# The record key of the control that pauses sending.
SENDING: Final = b"sending"
# The record key of the last probe's result: see `probe/result.py`.
PROBE: Final = b"probe"
# The interval of checks for a missing topic, which also delays the first pause ever.
LOOK_AGAIN_S: Final = 1.0
_ILLEGIBLE: Final = "the topic of controls holds a record that this version can't read"


class Pause(BaseModel):
    """The value of a control record that pauses sending. No value, or *paused* false, ends the pause."""

    model_config = ConfigDict(frozen=True)

    paused: bool = True
    at: KeptTime
    # Both are shown in the status and stay in the topic.
    by: Words = ""
    note: Words = ""


class SendingPaused(CannotGoOn):
    """Sending is paused; the message says since when, by whom and why."""

    def __init__(self, paused: Paused) -> None:
        super().__init__(f"sending is paused since {paused} (`python -m hubspot_consumer resume` ends the pause)")


class PauseControl(FollowedTopic):
    """Follows the topic, and pauses and resumes *breaker* by its records. Without the topic there is no pause."""

    def __init__(self, options: Mapping[str, Any], topic: str, clock: Clock, breaker: CircuitBreaker) -> None:
        super().__init__(options, topic, clock, self._take_in, look_again_s=LOOK_AGAIN_S)
        self._breaker = breaker
        self._paused: Paused | None = None
        self._read = False

    async def start(self) -> None:
        """Read the topic and apply its last control. Raises KafkaError, after which it may be called again."""
        await super().start()
        self._read = True
        self._apply()

    def _take_in(self, record: Any) -> bool:
        if record.key != SENDING:
            return bool(record.key == PROBE)
        self._paused = read_pause(record)
        # During `start` only the last control counts, which `start` applies itself.
        if self._read:
            self._apply()
        return True

    def _apply(self) -> None:
        if self._paused is None:
            self._breaker.resume()
        else:
            self._breaker.pause(self._paused)


def read_pause(record: Any) -> Paused | None:
    """Return the pause that one of aiokafka's records begins, or None. An unreadable record is a pause, to be safe."""
    if record.value is None:
        return None
    try:
        control = Pause.model_validate_json(record.value)
    except ValidationError:
        return Paused(moment_of(record.timestamp / 1000), "", _ILLEGIBLE)
    return Paused(control.at, control.by, control.note) if control.paused else None


async def read_paused(options: Mapping[str, Any], topic: str, clock: Clock) -> Paused | None:
    """Return the present pause, or None. Raises KafkaError."""
    breaker = CircuitBreaker(clock)
    controls = PauseControl(options, topic, clock, breaker)
    try:
        await controls.start()
    finally:
        await controls.stop()
    return breaker.paused


async def publish_pause(kafka: KafkaConnection, pause: Pause | None) -> None:
    """Pause sending in all workers, or resume it with None. Raises KafkaError and TopicsNotReady."""
    async with TopicWriter(kafka, kafka.topics.controls) as writer:
        await writer.write(SENDING, pause.model_dump_json().encode() if pause is not None else None)
