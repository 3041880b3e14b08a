"""The intake without its neighbours: it needs no Kafka and no active relay, and says so when the database is away."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from producer.intake import intake as producer_intake
from producer.intake.intake import MOST_CONNECTIONS
from producer.migrations import migrate
from sandbox.postgres import EmbeddedPostgres
from sandbox.processes import free_port
from sandbox.services import Service, producer
from tests.outbox.intake import TOKEN, Caller, calling, code
from tests.polling import eventually
from tests.samples import PAYLOADS

NOWHERE = "postgresql://me:hidden@127.0.0.1:1/nothing"


async def test_without_a_database_each_request_is_told_to_come_again() -> None:
    async with calling(NOWHERE) as caller:
        answer = await caller.post()

    assert (answer.status_code, code(answer)) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "hidden" not in answer.text
    assert caller.counted("unavailable") == 1


async def test_without_the_migration_it_is_the_same(empty_database_url: str) -> None:
    async with calling(empty_database_url) as caller:
        assert code(await caller.post()) == "unavailable"


async def test_it_heals_when_the_database_is_back(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    await server.start()
    url = await server.create_database("healing")
    await asyncio.to_thread(migrate, url)
    try:
        async with calling(url) as caller:
            assert (await caller.post(key="before")).status_code == 202

            await server.kill()
            assert code(await caller.post(key="during")) == "unavailable"
            await server.start()

            await eventually(lambda: _taken(caller, "after"), saying="events are taken again")
            assert len(await caller.ids()) == 2
    finally:
        await server.stop()


async def _taken(caller: Caller, key: str) -> bool:
    return (await caller.post(key=key)).status_code == 202


async def test_when_all_connections_are_in_use_a_request_is_told_to_come_again_and_another_place_is_not_queued_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_intake, "MOST_AT_ONCE", MOST_CONNECTIONS + 1)
    async with calling(database_url) as caller:
        async with await psycopg.AsyncConnection.connect(database_url) as blocker:
            await blocker.execute("INSERT INTO outbox_contacts (contact_key) VALUES ('ada@example.com')")
            holding = [asyncio.create_task(caller.post(key=f"held-{number}")) for number in range(MOST_CONNECTIONS)]
            await eventually(lambda: _waiting(caller, MOST_CONNECTIONS), saying="all connections are in use")

            waits = asyncio.create_task(caller.post(key="waits", payload=_other()))
            await eventually(lambda: _places(caller, MOST_CONNECTIONS + 1), saying="all places are taken")
            busy = await caller.post(key="busy", payload=_other())
            unavailable = await waits
            await blocker.rollback()

        held = await asyncio.gather(*holding)
        after = await caller.post(key="waits", payload=_other())

    assert (busy.status_code, code(busy)) == (503, "busy")
    assert (unavailable.status_code, code(unavailable)) == (503, "unavailable")
    assert {answer.headers["retry-after"] for answer in (busy, unavailable)} == {"2"}
    assert {answer.status_code for answer in (*held, after)} == {202}


def _other() -> dict[str, Any]:
    return PAYLOADS["driver_signed_up"] | {"user_id": "usr_2", "email": "grace@example.com"}


async def _places(caller: Caller, taken: int) -> bool:
    return caller.intake._taken == taken


async def _waiting(caller: Caller, how_many: int) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return await caller.asked(query) == [(how_many,)]


async def test_a_database_that_stands_still_is_answered_for_and_the_event_may_be_sent_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_intake, "ACCEPTED_WITHIN_S", 0.2)
    async with calling(database_url) as caller:
        async with await psycopg.AsyncConnection.connect(database_url) as blocker:
            await blocker.execute("INSERT INTO outbox_contacts (contact_key) VALUES ('ada@example.com')")
            late = await caller.post()
            await blocker.rollback()
        monkeypatch.undo()

        again = await caller.post()

        assert code(late) == "unavailable"
        assert late.json()["detail"] == "it did not answer within 0.2 s"
        assert await caller.ids() == [again.json()["id"]]


def service(directory: Path, database_url: str, **more: str) -> Service:
    environment = {
        "DATABASE_URL": database_url,
        # Nobody listens there.
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "PRODUCER_PORT": str(free_port()),
    }
    return producer(directory, environment | more)


async def _live(running: Service) -> bool:
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"{running.url}/v1/health/live")).status_code == 200
    except httpx.TransportError:
        return False


async def test_a_service_without_kafka_takes_events_and_keeps_them(tmp_path: Path, database_url: str) -> None:
    running = service(tmp_path, database_url, PRODUCER_INTAKE_TOKEN=TOKEN)
    running.launch()
    try:
        await eventually(lambda: _live(running), saying="the service listens")
        async with httpx.AsyncClient(base_url=running.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            answer = await http.post(
                "/v1/events/driver_signed_up", json=PAYLOADS["driver_signed_up"], headers={"Idempotency-Key": "k"}
            )
            # In chunks, and far more than there may be: the connection is closed in the middle.
            too_large = await http.post(
                "/v1/events:batch", content=_chunks(), headers={"Content-Type": "application/json"}
            )
            health = (await http.get("/v1/health")).json()
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            rows = await (await connection.execute("SELECT id::text FROM outbox_events")).fetchall()
    finally:
        await running.stop()

    assert rows == [(answer.json()["id"],)]
    assert (too_large.status_code, code(too_large)) == (413, "too_large")
    assert health["intake"] == "on"
    log = (tmp_path / "producer.log").read_text()
    assert TOKEN not in log
    assert "ada@example.com" not in log
    assert "Traceback" not in log


async def _chunks() -> Any:
    for _ in range(40):
        yield b" " * 64 * 1024


async def test_without_a_token_there_is_no_intake_and_health_does_not_speak_of_it(
    tmp_path: Path, database_url: str
) -> None:
    running = service(tmp_path, database_url)
    running.launch()
    try:
        await eventually(lambda: _live(running), saying="the service listens")
        async with httpx.AsyncClient(base_url=running.url) as http:
            paths = ["/v1/events/driver_signed_up", "/v1/events:batch", "/docs", "/openapi.json"]
            statuses = [(await http.post(path, json={})).status_code for path in paths]
            statuses += [(await http.get(path)).status_code for path in paths]
            health = (await http.get("/v1/health")).json()
    finally:
        await running.stop()

    assert set(statuses) == {404}
    assert "intake" not in health
