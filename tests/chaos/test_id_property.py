"""The change-over to HUBSPOT_ID_PROPERTY under way: whatever is killed, every contact is there once, with its value."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hubspot_consumer.hubspot.schema import EMAIL
from sandbox.processes import free_port
from sandbox.services import Service, consumer
from tests import pipeline as pipelines
from tests.pipeline import Pipeline
from tests.polling import eventually
from tests.samples import ID_PROPERTY

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.chaos,
    pytest.mark.skipif(pipelines.ID_PROPERTY != EMAIL, reason="the portal would have the property from the start"),
]

AT = "2026-11-24T03:00:00Z"
CONTACTS = 1_000
# A few at once: moves from partition to partition and back would wait for each other until they are given up.
MOVED = 4
QUOTA = 1_000


class Merchants:
    """The merchants, each with its present email."""

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self._pipeline = pipeline
        self._chance = Random(seed)
        self.emails = [f"merchant{number:04}@example.com" for number in range(CONTACTS)]
        self.events = 0

    async def created(self) -> None:
        await self._track(
            "merchant_contact_created",
            [self._payload(number, name="Ada L", business_name="Café", created_at=AT) for number in range(CONTACTS)],
        )

    async def updated(self, number: int) -> None:
        """Change the phone of some of them."""
        chosen = self._chance.sample(range(CONTACTS), number)
        await self._track("merchant_contact_updated", [self._updated(one) for one in chosen])

    async def moved(self, number: int) -> None:
        """Give some of them another email. All their events so far have taken effect."""
        payloads = []
        for one in self._chance.sample(range(CONTACTS), number):
            previous = self.emails[one]
            self.emails[one] = f"{previous.partition('@')[0]}.{self.events}@example.com"
            payloads.append(self._updated(one, previous_email=previous))
        await self._track("merchant_contact_updated", payloads)

    def _updated(self, number: int, **more: str) -> dict[str, str]:
        return self._payload(number, phone=str(self.events + number), updated_at=AT, **more)

    def _payload(self, number: int, **more: str) -> dict[str, str]:
        return {"merchant_id": f"mer_{number}", "email": self.emails[number], **more}

    async def _track(self, event_type: str, payloads: Sequence[dict[str, str]]) -> None:
        self.events += len(payloads)
        async with await self._pipeline.connect() as connection:
            each = "SELECT track_lifecycle_event(%s, payload) FROM jsonb_array_elements(%s::jsonb) AS payload"
            await connection.execute(each, [event_type, json.dumps(payloads)])


def backfill_of(pipeline: Pipeline, folder: Path) -> Service:
    options = ("provision", "--backfill", "--apply", "--rate-share", "0.1", "--folder", str(folder))
    return pipeline.command(*options, HUBSPOT_ID_PROPERTY=ID_PROPERTY)


async def ended(command: Service) -> int | None:
    async def gone() -> bool:
        return not command.running

    await eventually(gone, within_s=120, every_s=0.1, saying="the command ends")
    return command.exit_code


async def contacts(pipeline: Pipeline) -> list[dict[str, Any]]:
    return [dict(held["properties"]) for held in (await pipeline.simulator.accepted()).contacts.values()]


async def assert_each_is_there_once(pipeline: Pipeline, merchants: Merchants, ids: Counter[str]) -> None:
    held = await contacts(pipeline)
    assert Counter(one["hs_object_id"] for one in held) == ids, "each contact has kept HubSpot's id, and is there once"
    assert {one["email"]: one.get(ID_PROPERTY) for one in held} == {email: email for email in merchants.emails}
    entries = Counter(event_id for event_id, _ in (await pipeline.simulator.accepted()).entries)
    assert (len(entries), set(entries.values())) == (merchants.events, {1})
    assert await pipeline.dead_letters() == []
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0


async def test_a_thousand_contacts_made_under_email_are_changed_over_with_moves_and_kills_and_none_is_doubled(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    chance, merchants = Random(1), Merchants(pipeline, seed=1)
    pipeline.environment |= {"HUBSPOT_ID_PROPERTY": EMAIL, "HUBSPOT_RATE_LIMIT": str(QUOTA)}
    await pipeline.simulator.change_settings(quota=QUOTA, search_lag_s=1)
    former = pipeline.consumer()
    other_port = str(free_port())
    newer = Service(
        "newer",
        ["hubspot_consumer", "worker"],
        tmp_path,
        pipeline.environment | {"HUBSPOT_ID_PROPERTY": ID_PROPERTY, "CONSUMER_PORT": other_port},
        other_port,
    )
    last = consumer(tmp_path, pipeline.environment | {"HUBSPOT_ID_PROPERTY": ID_PROPERTY})
    try:
        await asyncio.gather(pipeline.producer().launch_and_wait(), former.launch_and_wait())
        await merchants.created()
        await pipeline.until_arrived(CONTACTS)
        ids = Counter(held["hs_object_id"] for held in await contacts(pipeline))
        # A worker with the setting refuses to start in a portal without the property.
        newer.launch()
        assert await ended(newer) == 2, newer.tail()
        assert (await pipeline.run("provision", "--apply", HUBSPOT_ID_PROPERTY=ID_PROPERTY)).code == 0

        backfill = backfill_of(pipeline, tmp_path / "runs")
        for _ in range(3):
            await pipeline.until_finished(within_s=200)
            backfill.launch()
            await merchants.moved(MOVED)
            await merchants.updated(50)
            await asyncio.sleep(chance.uniform(1.0, 4.0))
            await backfill.kill()
        backfill.launch()
        await newer.launch_and_wait()
        await pipeline.until_finished(within_s=200)
        await merchants.moved(MOVED)
        await merchants.updated(200)
        assert await ended(backfill) == 0, backfill.tail()
        await former.kill()
        last.launch()
        for victim in (newer, last):
            await pipeline.until_finished(within_s=200)
            await merchants.moved(MOVED)
            await merchants.updated(100)
            await asyncio.sleep(chance.uniform(1.0, 4.0))
            await victim.kill()
            victim.launch()
        await pipeline.until_arrived(merchants.events, within_s=200)
        await pipeline.until_finished()
        again = backfill_of(pipeline, tmp_path / "runs")
        again.launch()
        assert await ended(again) == 0, again.tail()
        audited = await pipeline.run("audit", HUBSPOT_ID_PROPERTY=ID_PROPERTY)
    finally:
        for service in (former, newer, last):
            await service.kill()

    assert audited.code == 0, audited.output
    await assert_each_is_there_once(pipeline, merchants, ids)
