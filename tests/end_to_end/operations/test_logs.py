"""The logs of a pipeline on a bad day: no secret and no whole email, every name of the list, every event's way."""

import asyncio
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import make_url

from runtime.log_names import LogName
from sandbox.processes import free_port
from sandbox.services import Service
from sandbox.simulator import TOKEN
from schemas.contacts import contact_hash, contact_key
from tests.commands import run
from tests.pipeline import Pipeline
from tests.polling import eventually
from tests.samples import PAYLOADS

pytestmark = pytest.mark.timeout(240)

INTAKE_TOKEN = "intake-0123456789abcdef0123456789abcdef"
DATABASE_PASSWORD = "open sesame, database"
KAFKA_PASSWORD = "open-sesame-kafka"
SECRETS = (TOKEN, INTAKE_TOKEN, DATABASE_PASSWORD, DATABASE_PASSWORD.replace(" ", "%20"), KAFKA_PASSWORD)
VICTIM, WELCOME, BY_HAND = "victim.of.hubspot@example.com", "Welcome.Driver@example.com", "by.hand@example.com"
TRACE = "0af7651916cd43dd8448eb211c80319c"
RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"
# An email that is written out, as it is, in a URL, or in JSON; `a***@example.com` is not.
AN_EMAIL = re.compile(r"[\w.+'-](?:@|%40|\\u0040)[\w-]+\.[a-z]{2,}", re.IGNORECASE)


def refused(status: int, **more: Any) -> dict[str, Any]:
    return {"kind": "status", "status": status, "style": "json", **more}


# Once each, at whatever call comes next.
FAULTS: list[dict[str, Any]] = [
    {"kind": "rate_limit", "policy": "ten_secondly_rolling"},
    refused(502, style="html"),
    refused(503, body=f"<html>Bearer {TOKEN} of {WELCOME}</html>"),
    {"kind": "drop"},
    {"kind": "fewer_results"},
]
# What nobody should answer, and a proxy may.
TELLTALE = json.dumps(
    {"category": "VALIDATION_ERROR", "message": f"{VICTIM} is invalid; Authorization: Bearer {TOKEN}"}
)


def lines_of(texts: Iterable[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for text in texts for line in text.splitlines()]


async def post(producer: Service, email: str, token: str = INTAKE_TOKEN) -> httpx.Response:
    headers = {
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": email,
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-00",
    }
    payload = {**PAYLOADS["driver_signed_up"], "user_id": email, "email": email}
    async with httpx.AsyncClient(base_url=producer.url, headers=headers) as http:
        return await http.post("/v1/events/driver_signed_up", json=payload)


async def rejected(pipeline: Pipeline, producer: Service) -> None:
    """A contact that HubSpot will never take, in words that quote a token and an email."""
    answer = refused(400, body=TELLTALE, headers={"X-HubSpot-Correlation-Id": "of-the-rejection"})
    await pipeline.simulator.add_fault({"match": {"email": VICTIM}, "answer": answer})
    assert (await post(producer, VICTIM)).status_code == 202
    await pipeline.until_set_aside(1)
    await pipeline.simulator.remove_faults()


async def unreadable(pipeline: Pipeline) -> None:
    """A row of an unknown type, which the relay sets aside, and a record that is no JSON, which the worker does."""
    async with await pipeline.connect() as connection:
        await connection.execute(
            "INSERT INTO outbox_events (aggregateid, type, payload) VALUES (%s, 'coffee_drunk', %s)",
            [BY_HAND, json.dumps({"email": BY_HAND})],
        )
    async with AIOKafkaProducer(bootstrap_servers=pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]) as kafka:
        await kafka.send_and_wait(pipeline.topics.of("nova_earned"), f"{{{BY_HAND}".encode(), key=BY_HAND.encode())


async def halted(pipeline: Pipeline, worker: Service) -> None:
    """A token that is revoked, and taken again."""
    await pipeline.simulator.change_token("revoke", TOKEN)
    await pipeline.commit(20, seed=2)

    async def is_halted() -> bool:
        return (await worker.status()).get("halted") is not None

    await eventually(is_halted, saying="the worker halts")
    await pipeline.simulator.change_token("add", TOKEN)


async def commands(pipeline: Pipeline) -> list[str]:
    """What a person at a terminal is shown, and what a container that starts wrongly leaves."""
    other = {"CONSUMER_PORT": str(free_port()), "CONSUMER_GROUP": "another"}
    url = make_url(pipeline.environment["DATABASE_URL"]).set(host="127.0.0.1", port=free_port(), query={})
    nobody = url.render_as_string(hide_password=False).replace(" ", "%20")
    done = [
        await pipeline.run("doctor"),
        await pipeline.run("suppress", BY_HAND),
        await pipeline.run("resync", WELCOME),
        await pipeline.run("audit", "--contact", WELCOME, "--yes"),
        await pipeline.run("worker", HUBSPOT_PORTAL_ID="4243", **other),
        await pipeline.run("worker", KAFKA_SECURITY_PROTOCOL="SASL_SSL"),
        await run("producer", "migrate", environment={**pipeline.environment, "DATABASE_URL": nobody}),
        await run("producer", "serve", environment={**pipeline.environment, "DATABASE_URL": f"mysql{nobody[10:]}"}),
    ]
    assert [one.code for one in done[3:]] == [0, 2, 2, 1, 2], done
    return [one.output + one.errors for one in done]


@pytest.mark.chaos
async def test_no_log_of_a_bad_day_holds_a_secret_or_an_email_and_each_line_can_be_followed(pipeline: Pipeline) -> None:
    url = make_url(pipeline.database_url).set(password=DATABASE_PASSWORD).render_as_string(hide_password=False)
    pipeline.environment |= {
        # SQLAlchemy leaves a space in a password as it is, and libpq does not take it.
        "DATABASE_URL": url.replace(" ", "%20"),
        "KAFKA_SASL_PASSWORD": KAFKA_PASSWORD,
        "PRODUCER_INTAKE_TOKEN": INTAKE_TOKEN,
        "LOG_LEVEL": "debug",
    }
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    accepted = await post(producer, WELCOME)
    assert accepted.status_code == 202
    assert (await post(producer, BY_HAND, "a wrong token")).status_code == 401
    assert (await post(producer, "no email")).status_code == 422
    await rejected(pipeline, producer)
    await unreadable(pipeline)
    for answer in FAULTS:
        await pipeline.simulator.add_fault({"answer": answer, "when": {"count": 1}})
    await pipeline.commit(300, seed=1, per_s=100)
    await halted(pipeline, worker)
    # One poisoned event a day, the rejected one, the row and the record.
    await pipeline.all_accounted_for(within_s=90)
    await asyncio.gather(worker.kill(), producer.kill())
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    told = await commands(pipeline)
    assert (await producer.stop(), await worker.stop()) == (0, 0)
    dry = pipeline.command("worker", HUBSPOT_SEND_LIVE="false")
    dry.launch()

    async def dry_run_tells() -> bool:
        return "dry_run.timeline" in dry.log.read_text()

    await eventually(dry_run_tells, saying="a dry run says what it would write")
    assert await dry.stop() == 0

    logs = [service.log.read_text() for service in (producer, worker, dry)]
    text = "\n".join([*logs, *told])
    assert [secret for secret in SECRETS if secret in text] == []
    assert AN_EMAIL.findall(text) == []
    contacts = {event.contact_key for event in (await pipeline.ledger()).events.values()}
    assert len(contacts) > 20
    assert [key for key in contacts if key.split("@")[0] + "@" in text.lower()] == []

    lines = lines_of(logs)
    names = {line["event"] for line in lines}
    assert names <= set(get_args(LogName))
    assert names >= {
        *("intake.accepted", "event.published", "event.delivered", "delivery.retry_scheduled", "delivery.rejected"),
        *("dead_letter.written", "delivery.halted", "delivery.resumed", "hubspot.refused", "hubspot.not_answered"),
        *("dry_run.upsert", "relay.progress", "worker.progress", "service.starting", "service.stopped"),
    }
    the_way_of_one_event(lines, accepted.json()["id"])
    the_rejection(lines)
    the_fields_that_the_runbook_asks_for(lines)
    assert any(line["event"] == "hubspot.refused" and line["policy"] == "TEN_SECONDLY_ROLLING" for line in lines)


def the_way_of_one_event(lines: list[dict[str, Any]], event_id: str) -> None:
    """Hold that an event can be followed by its id, from the intake to HubSpot."""
    way = [line for line in lines if event_id in (line.get("event_id"), *line.get("event_ids", ()))]
    published, delivered = (
        next(line for line in way if line["event"] == name) for name in ("event.published", "event.delivered")
    )

    assert way[0]["event"] == "intake.accepted"
    for line in (published, delivered):
        assert line["contact"] == contact_hash(contact_key(WELCOME))
        assert line["trace_id"] == TRACE
    assert published["record"] == delivered["record"]
    assert delivered["contact_id"]


def the_fields_that_the_runbook_asks_for(lines: list[dict[str, Any]]) -> None:
    """Hold that its queries for CloudWatch find in the lines of a name what they show of them."""
    queries = re.findall(r"```\nfields (.*)\n\| filter event (?:=|in) (.*)\n", RUNBOOK.read_text())
    assert len(queries) > 3
    for fields, names in queries:
        found = {field for line in lines if line["event"] in re.findall(r'"([^"]+)"', names) for field in line}
        assert {field for field in re.split(r",\s*", fields) if not field.startswith("@")} <= found, (fields, names)


def the_rejection(lines: list[dict[str, Any]]) -> None:
    """Hold that a rejection and its dead letter say all that is known, and what HubSpot said is masked."""
    [line] = [line for line in lines if line["event"] == "delivery.rejected"]
    [letter] = [
        one for one in lines if one["event"] == "dead_letter.written" and one["reason"] == "rejected_by_hubspot"
    ]

    assert line["contact"] == letter["contact"] == contact_hash(contact_key(VICTIM))
    assert line["event_id"] == letter["event_id"]
    assert re.fullmatch(r"t\w+\.driver_signed_up-\d+-\d+", line["record"])
    assert (line["trace_id"], line["correlation_id"]) == (TRACE, "of-the-rejection")
    assert "v***@example.com is invalid" in line["detail"]
