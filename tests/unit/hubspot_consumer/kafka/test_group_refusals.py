"""Why a group refuses a worker: each refusal says what to change, and where."""

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaTimeoutError,
    UnknownError,
)

from hubspot_consumer.kafka import group_refusals
from hubspot_consumer.kafka.group_refusals import session_refused, why_refused

MIN, MAX = "group.min.session.timeout.ms", "group.max.session.timeout.ms"


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """What the brokers report: nothing, until a test says otherwise."""
    limits: dict[str, set[str]] = {}

    async def broker_values(_admin: object, setting: str) -> set[str]:
        return limits.get(setting, set())

    monkeypatch.setattr(group_refusals, "broker_values", broker_values)
    return limits


@pytest.mark.parametrize(
    ("reported", "said"),
    [
        ({}, f"{MIN} and {MAX} exclude it"),
        ({MIN: {"6000"}, MAX: {"1800000"}}, f"{MIN} and {MAX} exclude it"),
        ({MIN: {"6000", "15000"}, MAX: {"1800000"}}, f"{MIN} is 15000 on its brokers: set it to 10000 or less"),
        ({MIN: {"6000"}, MAX: {"8000", "9000"}}, f"{MAX} is 8000 on its brokers: set it to 10000 or more"),
    ],
)
async def test_a_refused_session_names_the_brokers_limit_and_both_numbers(
    limits: dict[str, set[str]], reported: dict[str, set[str]], said: str
) -> None:
    limits |= reported

    why = await why_refused(object(), "ours", InvalidSessionTimeoutError())

    assert why == f"Kafka refuses the workers' session of 10000 ms: {said}"


async def test_brokers_that_do_not_answer_hide_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broker_values(*_: object) -> set[str]:
        raise KafkaTimeoutError

    monkeypatch.setattr(group_refusals, "broker_values", broker_values)

    assert await session_refused(object()) is None
    assert "exclude it" in await why_refused(object(), "ours", InvalidSessionTimeoutError())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (GroupAuthorizationFailedError("ours"), "grant Read on it"),
        (InconsistentGroupProtocolError(), "set CONSUMER_GROUP to a group of our own"),
        (InvalidGroupIdError(), "CONSUMER_GROUP: Kafka takes no group that is called ours"),
        (UnknownError(), "UnknownError"),
    ],
)
async def test_every_other_refusal_says_what_to_do(error: Exception, said: str) -> None:
    why = await why_refused(object(), "ours", error)

    assert said in why
    assert "ours" in why
