"""The audit log: a topic with one record at the start and one at the end of each console action."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC
from typing import Any, Final, Literal
from uuid import uuid4

from aiokafka.errors import KafkaError
from fastapi import Request

from console.person import Person
from runtime.clock import Clock
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.new_topics import TopicsNotReady
from runtime.kafka.topic_writer import TopicWriter
from schemas.texts import encodable

WRITTEN_WITHIN_S: Final = 10.0

State = Literal["begun", "done", "failed"]


class NotNoted(Exception):
    """Kafka did not accept a record of the audit log; the message says what that means for the action."""

    def __init__(self, state: State, error: Exception) -> None:
        self.title: Final = (
            "Nothing was done" if state == "begun" else "The action was started, and its end is not recorded"
        )
        meaning = "nothing was done" if state == "begun" else "check what happened before you repeat it"
        super().__init__(f"Kafka does not accept the record of the action ({type(error).__name__}): {meaning}")


class AuditLog:
    """Writes the actions topic. The key of a record is the name of the person who acted."""

    def __init__(self, kafka: KafkaConnection, clock: Clock) -> None:
        self._writer: Final = TopicWriter(kafka, kafka.topics.actions)
        self._clock = clock

    @asynccontextmanager
    async def action(self, request: Request, name: str, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        """Record the start and the end of the action *name*. The yielded outcome is a part of the record of the end.

        Raises NotNoted if Kafka accepts no record: before the action runs, or after it is done.
        """
        person: Person = request.state.person
        action = {"id": uuid4().hex, "who": person.name, "role": person.role, "action": name, "arguments": arguments}
        await self._write(action, "begun", {})
        outcome: dict[str, Any] = {}
        try:
            yield outcome
        except BaseException as error:
            # The original error matters more than a failure to record it. A start without an end shows the failure.
            with suppress(NotNoted):
                await self._write(action, "failed", {"error": type(error).__name__, **outcome})
            raise
        await self._write(action, "done", outcome)

    async def stop(self) -> None:
        await self._writer.stop()

    async def _write(self, action: Mapping[str, Any], state: State, outcome: Mapping[str, Any]) -> None:
        at = self._clock.now().astimezone(UTC).isoformat()
        record = {"at": at, "state": state, **action, "outcome": outcome}
        try:
            async with asyncio.timeout(WRITTEN_WITHIN_S):
                await self._writer.write(
                    encodable(action["who"]).encode(), encodable(json.dumps(record, ensure_ascii=False)).encode()
                )
        except (KafkaError, OSError, TimeoutError, TopicsNotReady) as error:
            raise NotNoted(state, error) from error
