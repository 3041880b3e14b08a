"""The whole path as roles that have what `python -m producer grants` gives them, and nothing else."""

import json
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest

from console.contacts.outbox import ContactsOutbox
from console.overview.backlog import ask_outbox
from schemas.contacts import ContactKey
from tests.outbox.roles import Roles, made
from tests.pipeline import Pipeline
from tests.samples import EMAIL, PAYLOADS

TOKEN = "a-token-of-a-test-that-nobody-would-guess"
TRACK = "SELECT track_lifecycle_event(%s, %s::jsonb)"


@pytest.fixture
async def roles(pipeline: Pipeline) -> AsyncIterator[Roles]:
    async with made(pipeline.database_url) as roles:
        granted = await roles.granted("--apply")
        assert (granted.code, granted.errors) == (0, "")
        async with await pipeline.connect() as owner:
            # The trigger of the test's ledger runs in the function, with the rights of its owner.
            await owner.execute(f"GRANT INSERT ON sandbox_ledger TO {roles.name(roles.migrating)}".encode())
        yield roles


async def test_each_program_does_its_work_with_its_own_rights(pipeline: Pipeline, roles: Roles) -> None:
    producer = pipeline.producer(DATABASE_URL=roles.relay, PRODUCER_INTAKE_TOKEN=TOKEN, OUTBOX_RETENTION_H="1")
    worker = pipeline.consumer(DATABASE_URL="")
    await producer.launch_and_wait()
    await worker.launch_and_wait()
    async with await psycopg.AsyncConnection.connect(roles.backend) as backend:
        for event_type in ("nova_earned", "driver_signed_up", "nova_earned"):
            await backend.execute(TRACK, [event_type, json.dumps({**PAYLOADS[event_type], "user_id": "usr_1"})])
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "key-1"}) as client:
        body = PAYLOADS["merchant_contact_created"]
        answer = await client.post(f"{producer.url}/v1/events/merchant_contact_created", json=body)
        assert answer.status_code == 202

    await pipeline.until_arrived(4)
    await pipeline.until_published()
    assert (await producer.health())[0] == 200

    backlog = await ask_outbox(roles.console)
    known, _ = await ContactsOutbox(lambda: roles.console).of(ContactKey(EMAIL.lower()), 99, 9)
    assert (backlog.rows, known and known.sequence) == (0, 4)

    done = await pipeline.run("doctor", "--json", DATABASE_URL=roles.console)
    found = {finding["name"]: finding["level"] for finding in json.loads(done.output)["findings"]}
    looked_at = ("database", "outbox", "parked", "relay", "replication_slot")
    assert {name: found[name] for name in looked_at} == dict.fromkeys(looked_at, "ok")
