"""Controls: what people tell all workers. So far one: a pause, in which nothing is sent.

They are records of a compacted topic, which each worker reads before its first call and follows from then on: so a
pause holds for workers that start later, too, until somebody resumes. A pause loses nothing: events wait in Kafka.
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

# The topic's key of what holds for sending.
SENDING: Final = b"sending"
# The wait before the topic is looked for again where it is missing: a first pause is heard of so much later.
LOOK_AGAIN_S: Final = 1.0
_ILLEGIBLE: Final = "the topic of controls holds a record that this version can't read"


class Pause(BaseModel):
    """The value of a control that stops sending. No value, or one that is not *paused*, lets it go on."""

    model_config = ConfigDict(frozen=True)

    paused: bool = True
    at: KeptTime
    # Shown to whoever may see the status, and kept.
    by: Words = ""
    note: Words = ""


class SendingPaused(CannotGoOn):
    """Nothing may be sent; the message says since when, and why."""

    def __init__(self, paused: Paused) -> None:
        super().__init__(f"sending is paused since {paused} (`python -m hubspot_consumer resume` ends the pause)")


class PauseControl:
    """Follows the topic, and pauses *halt* for as long as it says so. Without a topic nothing is paused."""

    def __init__(self, options: Mapping[str, Any], topic: str, clock: Clock, breaker: CircuitBreaker) -> None:
        self._topic: Final = FollowedTopic(options, topic, clock, self._take_in, look_again_s=LOOK_AGAIN_S)
        self._breaker = breaker
        self._paused: Paused | None = None
        self._read = False

    async def start(self) -> None:
        """Return when what is said now is obeyed. Raises KafkaError; may be called again then."""
        await self._topic.start()
        self._read = True
        self._obey()

    async def follow(self) -> None:
        """Obey what is said from now on, until cancelled."""
        await self._topic.follow()

    async def stop(self) -> None:
        await self._topic.stop()

    def _take_in(self, record: Any) -> None:
        if record.key != SENDING:
            return
        self._paused = read_pause(record)
        # What was said before it started is history, but for the last.
        if self._read:
            self._obey()

    def _obey(self) -> None:
        if self._paused is None:
            self._breaker.resume()
        else:
            self._breaker.pause(self._paused)


def read_pause(record: Any) -> Paused | None:
    """Return what one of aiokafka's records says of sending. What can't be read is a pause: that harms nothing."""
    if record.value is None:
        return None
    try:
        said = Pause.model_validate_json(record.value)
    except ValidationError:
        return Paused(moment_of(record.timestamp / 1000), "", _ILLEGIBLE)
    return Paused(said.at, said.by, said.note) if said.paused else None


async def read_paused(options: Mapping[str, Any], topic: str, clock: Clock) -> Paused | None:
    """Return the pause that holds now, if there is one. Raises KafkaError."""
    halt = CircuitBreaker(clock)
    controls = PauseControl(options, topic, clock, halt)
    try:
        await controls.start()
    finally:
        await controls.stop()
    return halt.paused


async def publish_pause(kafka: KafkaConnection, pause: Pause | None) -> None:
    """Pause sending in all workers, or None: let it go on. Raises KafkaError, and TopicsNotReady."""
    async with TopicWriter(kafka, kafka.topics.controls) as writer:
        await writer.write(SENDING, pause.model_dump_json().encode() if pause is not None else None)
