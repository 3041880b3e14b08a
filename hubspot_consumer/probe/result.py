"""The result of the last probe: a record of the topic of controls, which the doctor reads and workers pass over."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hubspot_consumer.gates.pause import PROBE
from hubspot_consumer.kafka.followed_topic import FollowedTopic
from hubspot_consumer.probe.run import QUESTIONS, Report
from runtime.clock import Clock
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_writer import TopicWriter
from schemas.deliveries import Number
from schemas.texts import Name
from schemas.times import KeptTime

# Another version may ask more questions.
MOST_NAMES = 10 * len(QUESTIONS)
_Names = Annotated[tuple[Name, ...], Field(max_length=MOST_NAMES)]


class ProbeResult(BaseModel):
    """When which portal was probed, and the questions by their outcome."""

    model_config = ConfigDict(frozen=True)

    at: KeptTime
    portal_id: Number
    api_version: Name
    as_expected: _Names = ()
    differs: _Names = ()
    not_told: _Names = ()


def result_of(report: Report, portal_id: int, api_version: str) -> ProbeResult:
    """Return what is kept of a report."""
    named: dict[str, list[str]] = {"as_expected": [], "differs": [], "not_told": []}
    for question, found in report.found:
        named[found.told].append(question.name)
    return ProbeResult.model_validate({"at": report.at, "portal_id": portal_id, "api_version": api_version} | named)


async def keep_result(kafka: KafkaConnection, result: ProbeResult) -> None:
    """Keep the result in place of the one before. Raises KafkaError and TopicsNotReady."""
    async with TopicWriter(kafka, kafka.topics.controls) as writer:
        await writer.write(PROBE, result.model_dump_json().encode())


async def last_result(options: Mapping[str, Any], topic: str, clock: Clock) -> ProbeResult | None:
    """Return the result of the last probe; None if there was none that this version can read. Raises KafkaError."""
    found: ProbeResult | None = None

    def take_in(record: Any) -> None:
        nonlocal found
        if record.key == PROBE:
            found = read_result(record.value)

    followed = FollowedTopic(options, topic, clock, take_in, look_again_s=1.0)
    try:
        await followed.start()
    finally:
        await followed.stop()
    return found


def read_result(value: bytes | None) -> ProbeResult | None:
    """Return the result in a record's value; None for one that this version can't read."""
    try:
        return ProbeResult.model_validate_json(value or b"")
    except ValidationError:
        return None
