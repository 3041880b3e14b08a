"""An outbox with its relay in the test's process, of which there may be a backup, and the command `recover`."""

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import make_url

from producer.relay.outbox import Outbox as RelaysOutbox
from producer.relay.relay import Relay
from producer.relay.sender import Sender
from producer.telemetry import Telemetry
from runtime.clock import SystemClock
from runtime.health import Health
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.commands import Done, run
from tests.outbox.outbox import is_empty
from tests.polling import eventually
from tests.samples import EMAIL, PAYLOADS

TRACK = "SELECT track_lifecycle_event(%s, %s::jsonb)"
PARTITIONS = 3


@dataclass
class Outbox:
    """An outbox, its relay, and a backup of its database."""

    url: str
    environment: dict[str, str]
    options: dict[str, Any]
    topics: Topics

    async def track(self, *events: tuple[str, str, int]) -> None:
        """Track events by type, user and cents; a signup has the user's email."""
        async with await psycopg.AsyncConnection.connect(self.url) as db:
            for event_type, user, cents in events:
                own = {"user_id": user, "amount_cents": cents}
                email = {"email": EMAIL if user == "usr_1" else f"{user}@example.com"}
                more = email if event_type == "driver_signed_up" else {}
                await db.execute(TRACK, [event_type, json.dumps({**PAYLOADS[event_type], **own, **more})])

    async def publish(self) -> None:
        """Let a relay empty the outbox."""
        stop, telemetry = asyncio.Event(), Telemetry()
        relay = Relay(
            lambda: RelaysOutbox.connect(lambda: self.url, SystemClock()),
            Sender(self.options, self.topics, SystemClock(), telemetry),
            health=Health(),
            telemetry=telemetry,
            jitter=random.Random(1),
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay.run(stop))
            await eventually(lambda: is_empty(self.url), saying="the outbox is empty")
            stop.set()

    async def back_up(self) -> None:
        await self._administer("CREATE DATABASE {name}_backup TEMPLATE {name}")

    async def restore(self) -> None:
        await self._administer("DROP DATABASE {name} WITH (FORCE)", "ALTER DATABASE {name}_backup RENAME TO {name}")

    async def contacts(self) -> dict[str, tuple[Any, ...]]:
        """Return user, sequence, and cents earned and redeemed of each contact."""
        query = "SELECT contact_key, external_id, sequence, totals FROM outbox_contacts"
        return {
            key: (user, sequence, totals["nova_earned_cents"], totals["nova_redeemed_cents"])
            for key, user, sequence, totals in await self.asked(query)
        }

    async def asked(self, query: str) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self.url) as db:
            return await (await db.execute(query.encode())).fetchall()

    async def recover(self, *options: str, **environment: str) -> Done:
        done = await run("producer", "recover", *options, environment=self.environment | environment)
        assert "Traceback" not in done.errors, done.errors
        assert EMAIL not in done.output
        return done

    async def _administer(self, *statements: str) -> None:
        url = make_url(self.url)
        server = url.set(database="postgres").render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(server, autocommit=True) as db:
            for statement in statements:
                await db.execute(statement.format(name=url.database).encode())


async def outbox_of(kafka: Any, database_url: str, topic_prefix: str) -> Outbox:
    """Return the outbox of that database, with topics to publish to."""
    names = Topics(topic_prefix)
    await create_topics(kafka.bootstrap_servers, names, PARTITIONS)
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
    }
    return Outbox(database_url, environment, {"bootstrap_servers": kafka.bootstrap_servers}, names)
