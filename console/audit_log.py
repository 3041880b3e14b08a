"""Actions: what people do by the console, on a topic, before it is done and with what came of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final, Literal
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from fastapi import Request

from console.web.sessions import Person
from hubspot_consumer.kafka.new_topic import TopicNotCreated, create_topic
from runtime.clock import Clock

# Who did what is kept for ever.
CONFIG: Final = {"cleanup.policy": "delete", "retention.ms": "-1"}
WRITTEN_WITHIN_S: Final = 10.0

State = Literal["begun", "done", "failed"]


class NotNoted(Exception):
    """Kafka did not take what was to be noted of an action; the message says what that means for it."""

    def __init__(self, state: State, error: Exception) -> None:
        self.title: Final = (
            "Nothing was done" if state == "begun" else "The action was started, and its end is not recorded"
        )
        meaning = "nothing was done" if state == "begun" else "check what happened before you repeat it"
        super().__init__(f"Kafka does not accept the record of the action ({type(error).__name__}): {meaning}")


@dataclass
class Noted:
    """What an action tells of its end, beside that it came to one."""

    outcome: dict[str, Any] = field(default_factory=dict)


class Actions:
    """Writes the topic of actions. Its key is who acted."""

    def __init__(self, options: Mapping[str, Any], topic: str, replicas: int, clock: Clock) -> None:
        self._options: Final = options
        self._topic: Final = topic
        self._replicas: Final = replicas
        self._clock = clock
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    @asynccontextmanager
    async def action(self, request: Request, name: str, **arguments: Any) -> AsyncIterator[Noted]:
        """Note that the action *name* begins, and how it ends. Raises NotNoted: then nothing was begun."""
        person: Person = request.state.person
        action = {"id": uuid4().hex, "who": person.name, "role": person.role, "action": name, "arguments": arguments}
        await self._write(action, "begun", {})
        noted = Noted()
        try:
            yield noted
        except BaseException as error:
            # What went wrong is what somebody has to know; a record that lacks its end says that it did.
            with suppress(NotNoted):
                await self._write(action, "failed", {"error": type(error).__name__, **noted.outcome})
            raise
        await self._write(action, "done", noted.outcome)

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def _write(self, action: Mapping[str, Any], state: State, outcome: Mapping[str, Any]) -> None:
        at = self._clock.now().astimezone(UTC).isoformat()
        value = json.dumps({"at": at, "state": state, **action, "outcome": outcome}, ensure_ascii=False)
        try:
            async with asyncio.timeout(WRITTEN_WITHIN_S):
                producer = await self._started()
                await producer.send_and_wait(self._topic, key=action["who"].encode(), value=value.encode())
        except (KafkaError, OSError, TimeoutError, TopicNotCreated) as error:
            raise NotNoted(state, error) from error

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                await create_topic(self._options, self._topic, self._replicas, CONFIG)
                producer = AIOKafkaProducer(**self._options, acks="all", enable_idempotence=True)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer
