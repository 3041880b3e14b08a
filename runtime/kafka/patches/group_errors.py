"""The error with which Kafka answers a request for a group's offsets, and which aiokafka does not look at.

A coordinator that still loads its groups, as each does after a start and a failover, answers with that error and no
partition. To aiokafka the group then has no offsets: a consumer begins at the start of its topics, and the lag is all
that they have.
"""

from typing import Any, Final

from aiokafka import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.commit import OffsetFetchRequest

_send_as_before: Final = AIOKafkaClient.send


def heed_group_errors() -> None:
    """Make every aiokafka client of this process raise that error, from now on. Consumers ask again after it."""
    AIOKafkaClient.send = _send


async def _send(client: AIOKafkaClient, node: int, request: Any, **options: Any) -> Any:
    answer = await _send_as_before(client, node, request, **options)
    # Errors of single partitions are in the partitions; the first two versions have no other errors.
    if isinstance(request, OffsetFetchRequest) and (code := getattr(answer, "error_code", 0)):
        raise for_code(code)
    return answer
