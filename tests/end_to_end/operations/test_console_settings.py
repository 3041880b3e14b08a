"""A console whose settings are not those of a real worker, and what it refuses then."""

import json
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from console.web.access import CSRF_HEADER
from tests.console.server import csrf_of, sign_in
from tests.end_to_end.reprocessing.test_mending import ADA, driver, held, listed, mended, set_aside
from tests.pipeline import OPERATOR_TOKEN, Pipeline
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(240), pytest.mark.chaos]

OTHER_PORTAL = "99887766"


async def ended_actions(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return the records of the audit log about the ends of actions."""
    servers, topic = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], pipeline.topics.actions
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        found = await consumer.getmany(timeout_ms=10_000)
    records = [json.loads(record.value) for records in found.values() for record in records]
    return [record for record in records if record["state"] != "begun"]


async def redrive(http: httpx.AsyncClient, letter_id: str) -> httpx.Response:
    token = {CSRF_HEADER: await csrf_of(http)}
    return await http.post("/dead-letters/redrive", data={"id": letter_id, "live": "yes"}, headers=token)


async def test_a_console_of_another_portal_than_a_running_workers_redrives_nothing_and_says_why(
    pipeline: Pipeline,
) -> None:
    [letter_id] = await set_aside(pipeline, driver(ADA), 1)
    await mended(pipeline, letter_id)
    ours = pipeline.environment["HUBSPOT_PORTAL_ID"]
    said = f"HUBSPOT_PORTAL_ID is {OTHER_PORTAL} here and {ours} there"
    console = pipeline.console(HUBSPOT_PORTAL_ID=OTHER_PORTAL)
    await console.launch_and_wait()
    async with httpx.AsyncClient(base_url=console.url) as http:
        await sign_in(http, OPERATOR_TOKEN)

        answer = await redrive(http, letter_id)

        assert answer.status_code == 409
        assert said in answer.text

        async def shown() -> bool:
            pages = [(await http.get(path)).text for path in ("/", "/control", "/dead-letters")]
            return all(said in page for page in pages)

        await eventually(shown, within_s=30, saying="every page names the portals")
    await console.stop()
    [noted] = await ended_actions(pipeline)
    assert (noted["action"], noted["state"], noted["outcome"]["error"]) == ("redrive", "failed", "OtherSettings")
    assert said in noted["outcome"]["notices"][0]
    assert json.loads((await listed(pipeline)).output)["state"] == "mended"
    assert "nerava_nova_balance_cents" not in await held(pipeline, ADA)

    console = pipeline.console()
    await console.launch_and_wait()
    async with httpx.AsyncClient(base_url=console.url) as http:
        await sign_in(http, OPERATOR_TOKEN)
        answer = await redrive(http, letter_id)
        assert answer.status_code == 303, answer.text

        async def redriven() -> bool:
            return (await held(pipeline, ADA)).get("nerava_nova_balance_cents") == "500"

        await eventually(redriven, within_s=60, every_s=0.5, saying="the dead letter is redriven")
        assert "data-notice" not in (await http.get(answer.headers["location"])).text
