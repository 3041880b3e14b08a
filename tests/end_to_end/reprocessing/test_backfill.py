"""The change-over to HUBSPOT_ID_PROPERTY by its commands: provision, backfill, restart; and then a new email."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hubspot_consumer.hubspot.schema import EMAIL
from tests import pipeline as pipelines
from tests.pipeline import Pipeline
from tests.samples import ID_PROPERTY

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(pipelines.ID_PROPERTY != EMAIL, reason="the portal would have the property from the start"),
]

AT = "2026-11-24T03:00:00Z"
OWN = {"HUBSPOT_ID_PROPERTY": ID_PROPERTY}


def merchant(who: str, **more: str) -> dict[str, str]:
    return {"merchant_id": f"mer_{who}", "email": f"{who}@example.com", **more}


async def contacts(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    return {email: dict(held["properties"]) for email, held in (await pipeline.simulator.accepted()).contacts.items()}


async def test_contacts_made_under_email_are_filled_and_then_found_by_the_property(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    folder = ("--folder", str(tmp_path / "runs"))
    await pipeline.simulator.change_settings(search_lag_s=0)
    await pipeline.allow_many_calls()
    former = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), former.launch_and_wait())
    made = [merchant(who, name="A B", business_name="C", created_at=AT) for who in ("ada", "grace", "lena")]
    await pipeline.track(*(("merchant_contact_created", one) for one in made))
    await pipeline.all_arrive(dead=0)
    before = await contacts(pipeline)

    too_early = await pipeline.run("provision", "--backfill", **OWN)
    created = await pipeline.run("provision", "--apply", **OWN)
    counted = await pipeline.run("provision", "--backfill", *folder, **OWN)
    unfilled = await contacts(pipeline)
    filled = await pipeline.run("provision", "--backfill", "--apply", *folder, **OWN)
    await former.stop()
    worker = pipeline.consumer(**OWN)
    await worker.launch_and_wait()
    moved = merchant("ada", updated_at=AT, previous_email="ada@example.com") | {"email": "countess@example.com"}
    await pipeline.track(("merchant_contact_updated", moved))
    await pipeline.all_arrive(dead=0)
    await pipeline.until_finished()
    audited = await pipeline.run("audit", **OWN)

    assert (too_early.code, "provision --apply" in too_early.errors) == (2, True)
    assert created.output == f"created   property {ID_PROPERTY}\n"
    assert counted.output.startswith("3 contacts have a contact key, and 3 of them lacked it"), counted.errors
    assert {ID_PROPERTY in properties for properties in unfilled.values()} == {False}
    assert (filled.code, "3 contacts written" in filled.output) == (0, True), filled.errors
    after = await contacts(pipeline)
    assert {email: held[ID_PROPERTY] for email, held in after.items()} == {email: email for email in after}
    ids = [held["hs_object_id"] for held in before.values()]
    assert [held["hs_object_id"] for held in after.values()] == ids
    assert after["countess@example.com"]["hs_object_id"] == before["ada@example.com"]["hs_object_id"]
    assert (audited.code, len(after)) == (0, 3), audited.output
