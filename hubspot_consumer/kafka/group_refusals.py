"""Why the group's coordinator refuses a worker, and what to do about it."""

from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
)

from runtime.kafka.further_tries import NO_ANSWER
from runtime.kafka.topic_settings import broker_values

# After kill -9 the group waits this long for the dead member; Faust's default would delay the next start by 60 s.
SESSION_TIMEOUT_S: Final = 10.0
_SESSION_MS: Final = int(SESSION_TIMEOUT_S * 1000)
_SHORTEST: Final = "group.min.session.timeout.ms"
_LONGEST: Final = "group.max.session.timeout.ms"


async def why_refused(admin: AIOKafkaAdminClient, group: str, error: Exception) -> str:
    """Return what a person has to know about an *error* of the coordinator of *group*."""
    match error:
        case InvalidSessionTimeoutError():
            return await session_refused(admin) or _session(f"{_SHORTEST} and {_LONGEST} exclude it")
        case GroupAuthorizationFailedError():
            return f"Kafka refuses this user the group {group}: grant Read on it (docs/kafka-acls.md)"
        case InconsistentGroupProtocolError():
            return f"another kind of program is in the group {group}: set CONSUMER_GROUP to a group of our own"
        case InvalidGroupIdError():
            return f"CONSUMER_GROUP: Kafka takes no group that is called {group}"
        case _:
            return f"Kafka refuses this worker the group {group} ({type(error).__name__}): it tries again"


async def session_refused(admin: AIOKafkaAdminClient) -> str | None:
    """Return which of the brokers' limits excludes the workers' session; None if there is none, or none is told."""
    try:
        shortest, longest = await broker_values(admin, _SHORTEST), await broker_values(admin, _LONGEST)
    except NO_ANSWER:
        return None
    if over := [value for value in map(int, shortest) if value > _SESSION_MS]:
        return _session(f"{_SHORTEST} is {max(over)} on its brokers: set it to {_SESSION_MS} or less")
    if under := [value for value in map(int, longest) if value < _SESSION_MS]:
        return _session(f"{_LONGEST} is {min(under)} on its brokers: set it to {_SESSION_MS} or more")
    return None


def _session(words: str) -> str:
    return f"Kafka refuses the workers' session of {_SESSION_MS} ms: {words}"
