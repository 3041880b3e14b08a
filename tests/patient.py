"""The patient: a running system that the doctor finds healthy, until a fault is planted in it and taken out again."""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from fastapi import FastAPI

from hubspot_consumer.cli import doctor as command
from hubspot_consumer.cli.portal import provision
from hubspot_consumer.doctor.environment import Environment, read_environment
from hubspot_consumer.doctor.examination import Finding
from runtime.http.server import serving
from runtime.kafka.topic_settings import asked_of
from sandbox.hubspot.http.auth import ALL_SCOPES
from sandbox.processes import free_port
from sandbox.services import READY_WITHIN_S, Service, consumer, producer
from sandbox.services import simulator as simulator_process
from sandbox.simulator import PORTAL_ID, TOKEN, Simulator
from sandbox.stack import create_topics
from schemas.dead_letters import DeadLetter
from schemas.envelope import Headers
from schemas.outbox import RELAY_LOCK
from schemas.topics import Topics
from tests.commands import OURS
from tests.foreign.own_servers import new_prefix
from tests.kafka import topic_list
from tests.polling import eventually

PARTITIONS = 3
EVENTS = 20
# A second token of the same portal, for faults that the worker is not to notice.
OTHER_TOKEN = "pat-na1-22222222-2222-4222-8222-222222222222"
MANY_CALLS = 10_000

SIGN_UP = """
SELECT track_lifecycle_event('driver_signed_up', jsonb_build_object('user_id', 'usr_' || n, 'email',
    'driver' || n || '@example.com', 'auth_provider', 'apple', 'created_at', '2026-11-24T03:00:00Z'))
FROM generate_series(1, %s) AS n
"""

AN_HOUR_OLD = """
INSERT INTO outbox_events (aggregateid, type, sequence, payload, created_at)
VALUES ('ada@example.com', 'nova_earned', 1, '{}', now() - interval '1 hour')
"""
# A server's first role is a superuser, which sees everything: the doctor gets a role of its own.
HIDDEN_FROM_ITS_READER = (
    AN_HOUR_OLD,
    "ALTER TABLE outbox_events ENABLE ROW LEVEL SECURITY",
    "DROP ROLE IF EXISTS reader",
    "CREATE ROLE reader",
    "GRANT pg_read_all_data TO reader",
)
MANY_PARKED = """
INSERT INTO outbox_parked (external_id, id, type, payload, occurred_at)
SELECT 'usr_' || n, gen_random_uuid(), 'nova_earned', '{}', now() FROM generate_series(1, 2000) AS n
"""

Settings = Mapping[str, str]
"""What a fault changes of the environment that the doctor runs in."""


@dataclass
class Patient:
    """Everything between an outbox and HubSpot, running."""

    postgres: Any
    template: str
    environment: dict[str, str]
    simulator_url: str
    services: Sequence[Service]

    @property
    def worker(self) -> Service:
        return self.services[-1]

    @property
    def kafka(self) -> str:
        return self.environment["KAFKA_BOOTSTRAP_SERVERS"]

    async def examined(
        self, changes: Settings | None = None, *, offline: bool = False, worker_url: str = ""
    ) -> list[Finding]:
        """Return what the doctor finds, in this process; an empty value takes a setting away."""
        return await command._examine(self.read(changes), offline=offline, worker_url=worker_url)

    def read(self, changes: Settings | None = None) -> Environment:
        inherited = {name: "" for name in os.environ if name.startswith(OURS)}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**inherited, **self.environment, **(changes or {})}.items():
                patch.setenv(name, value)
            return read_environment()


async def admit(directory: Path, kafka: Any, postgres: Any, template: str) -> Patient:
    """Return a system that has delivered some events, and has nothing left to do."""
    prefix, name = new_prefix(), f"doctor_{uuid4().hex[:6]}"
    await create_topics(kafka.bootstrap_servers, Topics(prefix), PARTITIONS)
    database_url = await postgres.create_database(name, template=template)
    hubspot = simulator_process(directory, free_port())
    hubspot.launch()
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "CONSUMER_GROUP": f"group-{name}",
        "HUBSPOT_ENABLED": "true",
        "HUBSPOT_SEND_LIVE": "true",
        "HUBSPOT_PRIVATE_APP_TOKEN": TOKEN,
        "HUBSPOT_PORTAL_ID": str(PORTAL_ID),
        "HUBSPOT_API_BASE_URL": hubspot.url,
        "PRODUCER_PORT": str(free_port()),
        "CONSUMER_PORT": str(free_port()),
    }
    services = [hubspot, producer(directory, environment), consumer(directory, environment)]
    patient = Patient(postgres, template, environment, hubspot.url, services)
    async with Simulator(hubspot.url) as simulator:
        await hubspot.until(simulator.answers, within_s=READY_WITHIN_S)
        await simulator.change_settings(quota=MANY_CALLS)
        for service in services[1:]:
            service.launch()
        for service in services[1:]:
            await service.until(service.healthy, within_s=READY_WITHIN_S)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute(SIGN_UP, [EVENTS])

        async def well() -> bool:
            findings = await patient.examined(offline=True)
            arrived = (await simulator.statistics())["occurrences"] == EVENTS
            return arrived and all(finding.level in ("ok", "skip") for finding in findings)

        await eventually(well, within_s=60, every_s=0.5, saying="the system is well")
    return patient


async def discharge(patient: Patient) -> None:
    for service in reversed(patient.services):
        await service.kill()


@asynccontextmanager
async def settings(changes: Settings) -> AsyncIterator[Settings]:
    yield changes


@asynccontextmanager
async def hubspot_token(
    patient: Patient, *, without: Sequence[str] = (), revoked: bool = False
) -> AsyncIterator[Settings]:
    """Another token, which lacks scopes or is revoked."""
    async with Simulator(patient.simulator_url) as simulator:
        scopes = [scope for scope in ALL_SCOPES if scope not in without]
        await simulator.change_token("add", OTHER_TOKEN, scopes)
        if revoked:
            await simulator.change_token("revoke", OTHER_TOKEN)
        yield {"HUBSPOT_PRIVATE_APP_TOKEN": OTHER_TOKEN}


@asynccontextmanager
async def property_changed(patient: Patient, name: str, /, **changes: Any) -> AsyncIterator[Settings]:
    async with Simulator(patient.simulator_url) as simulator:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            known = (await http.get(f"{patient.simulator_url}/crm/v3/properties/contacts/{name}")).json()
        await simulator.change_property(name, **changes)
        yield {}
        await simulator.change_property(name, **known)


@asynccontextmanager
async def removed(patient: Patient, path: str) -> AsyncIterator[Settings]:
    """Something of the portal's schema removed; provisioning brings it back, as it would a real portal."""
    async with Simulator(patient.simulator_url) as simulator:
        await simulator.remove(path)
        yield {}
    await provision._provision(patient.read().settings, apply=True)


@asynccontextmanager
async def simulator_settings(patient: Patient, **changes: Any) -> AsyncIterator[Settings]:
    async with Simulator(patient.simulator_url) as simulator:
        before = await simulator.settings()
        await simulator.change_settings(**changes)
        yield {}
        await simulator.change_settings(**{name: before[name] for name in changes})


@asynccontextmanager
async def hubspot_answers(patient: Patient, answer: Mapping[str, Any], path: str = "") -> AsyncIterator[Settings]:
    async with Simulator(patient.simulator_url) as simulator:
        await simulator.add_fault({"answer": dict(answer), "match": {"path": path}})
        yield {}
        await simulator.remove_faults()


def usage_of(used: int, limit: int) -> Mapping[str, Any]:
    usage = {"name": "private-apps-api-calls-daily", "usageLimit": limit, "currentUsage": used}
    return {"kind": "status", "status": 200, "body": json.dumps({"results": [usage]})}


def contacts_of(used: int, limit: int) -> Mapping[str, Any]:
    contacts = {"objectTypeId": "0-1", "limit": limit, "usage": used}
    return {"kind": "status", "status": 200, "body": json.dumps({"hubspotDefinedObjectTypes": [contacts]})}


@asynccontextmanager
async def topics(
    patient: Patient, *, partitions: Mapping[int, int], without: int | None = None, bare: bool = False
) -> AsyncIterator[Settings]:
    """Other topics of the producer, by their number: *without* one of them, or with *partitions* of its own.

    *bare*: with the broker's settings instead of ours.
    """
    names = Topics(f"t{uuid4().hex[:8]}.")
    admin = AIOKafkaAdminClient(bootstrap_servers=patient.kafka)
    await admin.start()
    await admin.create_topics(
        [
            NewTopic(name, partitions.get(number, PARTITIONS), 1, topic_configs={} if bare else _ours(name, names))
            for number, name in enumerate(names.published)
            if number != without
        ]
    )
    await admin.close()
    yield {"KAFKA_TOPIC_PREFIX": names.prefix}


def _ours(name: str, names: Topics) -> dict[str, str]:
    return {setting: asked.value for setting, asked in asked_of(name, names, 1).items()}


@asynccontextmanager
async def dead_letter(patient: Patient, detail: str) -> AsyncIterator[Settings]:
    """One dead letter, in topics of its own."""
    async with topics(patient, partitions={}) as changes:
        name = Topics(changes["KAFKA_TOPIC_PREFIX"]).dead_letters
        letter = DeadLetter("rejected_by_hubspot", detail, "lifecycle.nova_earned", 0, 7, 1, datetime.now(UTC))
        async with AIOKafkaProducer(bootstrap_servers=patient.kafka) as kafka:
            await kafka.send_and_wait(name, b"{}", key=b"ada@example.com", headers=letter.headers([]))
        yield changes


@asynccontextmanager
async def acked(
    patient: Patient, receipts: Sequence[tuple[int, str] | bytes], *, records: int
) -> AsyncIterator[Settings]:
    """Records, with ids of their offsets, that a group has acked.

    *receipts* are of an offset and an event's id, or bytes that stand in their place.
    """
    async with topics(patient, partitions={}) as changes:
        names, group = Topics(changes["KAFKA_TOPIC_PREFIX"]), f"group-{uuid4().hex[:8]}"
        topic = names.of("nova_earned")
        async with AIOKafkaProducer(bootstrap_servers=patient.kafka) as kafka:
            for number in range(records):
                headers = Headers(str(number), "nova_earned", 1).encode()
                await kafka.send_and_wait(topic, b"{}", partition=1, headers=headers)
            await topic_list.make(patient.kafka, names, names.deliveries)
            for receipt in receipts:
                if isinstance(value := receipt, tuple):
                    place = {"topic": topic, "partition": 1, "offset": receipt[0]}
                    value = json.dumps({**place, "event_id": receipt[1]}).encode()
                await kafka.send_and_wait(names.deliveries, value)
        consumer = AIOKafkaConsumer(bootstrap_servers=patient.kafka, group_id=group, enable_auto_commit=False)
        await consumer.start()
        consumer.assign([TopicPartition(topic, 1)])
        await consumer.commit({TopicPartition(topic, 1): records})
        await consumer.stop()
        yield {**changes, "CONSUMER_GROUP": group}


@asynccontextmanager
async def outbox(
    patient: Patient, *statements: str, relay: bool = True, migrated: bool = True, role: str = ""
) -> AsyncIterator[Settings]:
    """Another database, with what *statements* leave in it, seen as *role*; a connection that stands for its relay."""
    name = f"outbox_{uuid4().hex[:8]}"
    url = await patient.postgres.create_database(name, template=patient.template if migrated else "template1")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())
        if relay:
            await connection.execute("SELECT pg_advisory_lock(%s)", [RELAY_LOCK])
        yield {"DATABASE_URL": f"{url}?options=-c%20role%3D{role}" if role else url}
    await patient.postgres.drop_database(name)


@asynccontextmanager
async def worker_says(patient: Patient, **changes: Any) -> AsyncIterator[str]:
    """Somebody who tells what the worker tells, but for *changes*; yields where."""
    status = await patient.worker.status() | changes
    app, port = FastAPI(), free_port()

    @app.get("/v1/status")
    async def report() -> dict[str, Any]:
        return status

    async with serving(app, port, "a port"):
        yield f"http://127.0.0.1:{port}"
