"""Faults of the HubSpot simulator, in the same process and over a real connection."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from tests.samples import TOKEN

UPSERT = "/crm/v3/objects/contacts/batch/upsert"
DROP = {"kind": "drop"}


@asynccontextmanager
async def served(portal: Portal) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the portal under uvicorn on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(simulator_app(portal), log_config=None))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn has a flag, not an event
                await asyncio.sleep(0.01)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=10) as client:
                yield client
        finally:
            server.should_exit = True
            await task


async def upsert(hubspot: httpx.AsyncClient, *names: str) -> httpx.Response:
    inputs = [
        {"id": f"{name}@example.com", "idProperty": "email", "properties": {"phone": "1"}, "objectWriteTraceId": name}
        for name in names
    ]
    return await hubspot.post(UPSERT, json={"inputs": inputs})


async def fail(hubspot: httpx.AsyncClient, answer: dict[str, Any], **more: Any) -> int:
    made = await hubspot.post("/_simulator/faults", json={"answer": answer, **more})
    assert made.status_code == 201, made.text
    return int(made.json()["id"])


async def contacts(hubspot: httpx.AsyncClient) -> int:
    return int((await hubspot.get("/_simulator/contacts")).json()["total"])


@pytest.mark.parametrize(("apply", "written"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("answer", [{"kind": "status", "status": 502}, DROP, {"kind": "hang", "seconds": 0}])
async def test_a_call_that_fails_was_written_or_not_as_the_rule_says(
    hubspot: httpx.AsyncClient, answer: dict[str, Any], apply: str, written: int
) -> None:
    await fail(hubspot, answer, apply=apply, when={"count": 1})
    try:
        assert (await upsert(hubspot, "ada")).status_code == 502
    except httpx.RemoteProtocolError:
        assert answer["kind"] != "status"

    assert await contacts(hubspot) == written
    assert (await upsert(hubspot, "ada")).status_code == 200


@pytest.mark.parametrize(
    ("style", "media_type", "text"),
    [
        ("json", "application/json", '"status":"error"'),
        ("text", "text/plain", "Bad Gateway"),
        ("html", "text/html", "<"),
    ],
)
async def test_an_error_comes_as_json_text_or_html(
    hubspot: httpx.AsyncClient, style: str, media_type: str, text: str
) -> None:
    await fail(hubspot, {"kind": "status", "status": 502, "style": style})
    answer = await upsert(hubspot, "ada")

    assert answer.status_code == 502
    assert answer.headers["Content-Type"].startswith(media_type)
    assert text in answer.text


async def test_a_migrating_account_says_when_to_come_back(hubspot: httpx.AsyncClient) -> None:
    await fail(hubspot, {"kind": "status", "status": 477, "headers": {"Retry-After": "3"}})
    answer = await upsert(hubspot, "ada")

    assert (answer.status_code, answer.headers["Retry-After"]) == (477, "3")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("ten_secondly_rolling", {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}),
        ("daily", {"errorType": "RATE_LIMIT", "policyName": "DAILY"}),
        ("secondly", {"errorType": "RATE_LIMIT", "policyName": "SECONDLY"}),
        ("monthly", {"errorType": "RATE_LIMIT", "policyName": "MONTHLY"}),
        ("search", {"category": "RATE_LIMITS"}),
    ],
)
async def test_a_429_has_five_forms(hubspot: httpx.AsyncClient, policy: str, expected: dict[str, str]) -> None:
    await fail(hubspot, {"kind": "rate_limit", "policy": policy})
    answer = await upsert(hubspot, "ada")

    body = answer.json()
    assert answer.status_code == 429
    assert {name: body[name] for name in ("errorType", "policyName", "category") if name in body} == expected
    assert (await hubspot.get("/_simulator/statistics")).json()["rate_limited_by_quota"] == 0


@pytest.mark.parametrize(("apply", "written"), [("before", 2), ("after", 3)])
async def test_an_answer_may_leave_inputs_out(hubspot: httpx.AsyncClient, apply: str, written: int) -> None:
    await fail(hubspot, {"kind": "fewer_results"}, apply=apply)
    answer = await upsert(hubspot, "ada", "bob", "cy")

    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 2
    assert "errors" not in answer.json()
    assert await contacts(hubspot) == written


async def test_a_silent_no_op_looks_like_success(hubspot: httpx.AsyncClient) -> None:
    await fail(hubspot, {"kind": "silent"})
    answer = await upsert(hubspot, "ada")

    assert (answer.status_code, answer.json()["status"], answer.json()["results"]) == (200, "COMPLETE", [])
    assert await contacts(hubspot) == 0


async def test_a_rule_concerns_the_calls_that_match_it(hubspot: httpx.AsyncClient) -> None:
    match = {"method": "post", "path": "batch/upsert", "email": "Bob@example.com"}
    await fail(hubspot, {"kind": "status", "status": 500}, match=match)

    assert (await upsert(hubspot, "ada", "bobby")).status_code == 200
    assert (await upsert(hubspot, "ada", "bob")).status_code == 500
    assert (await hubspot.get("/account-info/v3/details")).status_code == 200


@pytest.mark.parametrize(
    ("when", "failed"),
    [
        ({"nth": 2}, [False, True, False, False]),
        ({"count": 2}, [True, True, False, False]),
        ({"rate": 0}, [False] * 4),
        ({"rate": 1}, [True] * 4),
        ({"from_s": 10, "for_s": 10}, [False, True, False, False]),
    ],
)
async def test_a_rule_says_when(
    hubspot: httpx.AsyncClient, portal: Portal, when: dict[str, float], failed: list[bool]
) -> None:
    await fail(hubspot, {"kind": "status", "status": 500}, when=when)
    failures = []
    for _ in failed:
        failures.append((await upsert(hubspot, "ada")).status_code == 500)
        await hubspot.post("/_simulator/clock/advance", json={"seconds": 10})

    assert failures == failed


async def test_a_rate_is_the_same_for_the_same_seed(hubspot: httpx.AsyncClient) -> None:
    runs = []
    for _ in range(2):
        await hubspot.post("/_simulator/reset")
        await hubspot.put("/_simulator/settings", json={"seed": 7})
        await fail(hubspot, {"kind": "status", "status": 500}, when={"rate": 0.5})
        runs.append([(await upsert(hubspot, "ada")).status_code for _ in range(20)])

    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


async def test_a_removed_rule_is_out_of_force(hubspot: httpx.AsyncClient) -> None:
    rule = await fail(hubspot, {"kind": "status", "status": 500})
    await upsert(hubspot, "ada")
    [shown] = (await hubspot.get("/_simulator/faults")).json()["results"]
    await hubspot.delete(f"/_simulator/faults/{rule}")

    assert (shown["matched"], shown["fired"]) == (1, 1)
    assert (await upsert(hubspot, "ada")).status_code == 200


async def test_a_real_connection_is_dropped_without_an_answer_and_the_server_goes_on(portal: Portal) -> None:
    async with served(portal) as hubspot:
        await fail(hubspot, DROP, apply="after", when={"count": 1})
        with pytest.raises(httpx.TransportError):
            await upsert(hubspot, "ada")

        assert await contacts(hubspot) == 1
        assert (await upsert(hubspot, "ada")).json()["results"][0]["new"] is False


async def test_a_caller_that_gives_up_on_a_hanging_call_does_not_stop_the_server(portal: Portal) -> None:
    async with served(portal) as hubspot:
        await fail(hubspot, {"kind": "hang", "seconds": 600}, when={"count": 1})
        with pytest.raises(httpx.ReadTimeout):
            await hubspot.get("/account-info/v3/details", timeout=0.2)

        assert (await hubspot.get("/account-info/v3/details")).status_code == 200


async def test_a_slow_call_is_answered_after_those_that_came_later(hubspot: httpx.AsyncClient) -> None:
    await fail(hubspot, {"kind": "slow", "seconds": 0.3}, match={"email": "ada@example.com"}, apply="before")
    answered: list[str] = []

    async def call(name: str) -> None:
        assert (await upsert(hubspot, name)).status_code == 200
        answered.append(name)

    await asyncio.gather(call("ada"), call("bob"))

    assert answered == ["bob", "ada"]


async def test_a_slow_write_lands_even_when_its_caller_has_given_up(portal: Portal) -> None:
    async with served(portal) as hubspot:
        await fail(hubspot, {"kind": "slow", "seconds": 0.5}, when={"count": 1})
        with pytest.raises(httpx.ReadTimeout):
            await hubspot.post("/crm/v3/objects/contacts", json={"properties": {"lastname": "L"}}, timeout=0.1)
        assert await contacts(hubspot) == 0

        async with asyncio.timeout(10):
            while not await contacts(hubspot):  # noqa: ASYNC110 - the simulator has no event to wait for
                await asyncio.sleep(0.02)
