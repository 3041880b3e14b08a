"""Requests that any broker can answer. aiokafka's admin client sends each to one of them, even to one that is gone."""

import random
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import NodeNotReadyError

_send_as_before: Final = AIOKafkaAdminClient._send_request  # noqa: SLF001 - no public way


def ask_other_brokers() -> None:
    """Make every admin client of this process ask another broker where one can't be reached, from now on."""
    AIOKafkaAdminClient._send_request = _send_request  # noqa: SLF001 - see above


async def _send_request(admin: AIOKafkaAdminClient, request: Any, node_id: int | None = None) -> Any:
    if node_id is not None:
        return await _send_as_before(admin, request, node_id)
    brokers = [broker.nodeId for broker in admin._client.cluster.brokers()]  # noqa: SLF001 - see above
    random.shuffle(brokers)
    for broker in brokers[:-1]:
        try:
            return await _send_as_before(admin, request, broker)
        except NodeNotReadyError:
            # Nothing was sent.
            continue
    return await _send_as_before(admin, request, brokers[-1] if brokers else None)
