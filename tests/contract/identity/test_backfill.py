"""The backfill of HUBSPOT_ID_PROPERTY: every contact of ours gets its value once, whenever the backfill is killed."""

import json
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.requests import MOST_LISTED
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.reprocessing.backfill import Backfill
from hubspot_consumer.reprocessing.hubspot_reader import CannotRead
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import HubSpotAccess
from sandbox.hubspot.faults.faults import Fault, StatusAnswer
from sandbox.hubspot.records.portal import Portal
from schemas.contacts import ContactKey
from tests.clock import OwnedClock
from tests.contract.identity.writers import ADA, GRACE, LENA, Before, Writer, contact_of, portal_with, upsert
from tests.samples import ID_PROPERTY

OURS = "nerava_contact_key"


class Killed(Exception):
    """The process is gone."""


class Holds:
    """Nobody else writes a held contact; `begin` is called when a hold is entered."""

    def __init__(self, begin: Callable[[], object]) -> None:
        self._begin = begin

    @asynccontextmanager
    async def hold(self, _keys: Collection[ContactKey]) -> AsyncIterator[Any]:
        self._begin()
        yield SimpleNamespace(time_left_s=60.0)


@pytest.fixture
async def portal() -> Portal:
    portal = await portal_with()
    portal.change_settings(search_lag_s=0, searches_per_s=10_000)
    return portal


def ours(portal: Portal, *keys: str, **properties: str) -> list[str]:
    """Create contacts as workers with the former setting made them; return HubSpot's ids."""
    return [portal.contacts.create({"email": key, OURS: key, **properties}).id for key in keys]


async def backfilled(
    portal: Portal,
    folder: Path,
    *,
    apply: bool = True,
    suppressed: Collection[str] = (),
    before: Before | None = None,
    at_hold: Callable[[], object] = lambda: None,
) -> tuple[Backfill, Report]:
    """Do a backfill, or go on with the one in *folder*."""
    writer, clock = Writer(portal), OwnedClock()
    writer.way.before = before
    run = Run.open(folder, "backfill", {}, clock.now(), fresh=False)
    report = Report.model_validate({**run.store.fact("report", {}), "most_refused": 100})
    access = HubSpotAccess(
        client=writer.client,
        breaker=writer.breaker,
        retries=Retries(writer.breaker, clock, random.Random(1)),
        contacts=ContactWriter(writer.client, UnwritableProperties(), writer.breaker),
        suppressions=cast("Any", SimpleNamespace(contains=suppressed.__contains__)),
        holds=cast("Any", Holds(at_hold)),
        portal=cast("Any", None),
    )
    filling = Backfill(access, run, report, clock)
    try:
        await filling.run(lambda _done, _total: None, apply=apply)
        run.finish({})
    except BaseException:
        run.close(keep=True)
        raise
    finally:
        await writer.client.close()
    return filling, report


def values(portal: Portal) -> dict[str, str]:
    """Return the property of each contact by its email."""
    return {contact.email: contact.properties.get(ID_PROPERTY, "") for contact in portal.contacts.all()}


async def test_it_fills_the_contacts_that_lack_the_value_and_changes_nothing_else(
    portal: Portal, tmp_path: Path
) -> None:
    ours(portal, ADA, GRACE, nerava_event_sequence="3")
    await Writer(portal).write(upsert(LENA))
    portal.contacts.create({"email": "person@example.com"})

    dry, _ = await backfilled(portal, tmp_path, apply=False)
    assert (dry.listed, dry.lacking) == (3, 2)
    assert values(portal) == {ADA: "", GRACE: "", LENA: LENA, "person@example.com": ""}

    filled, report = await backfilled(portal, tmp_path)

    assert (filled.listed, filled.lacking, report.contacts_written, report.refused) == (3, 2, 2, [])
    assert values(portal) == {ADA: ADA, GRACE: GRACE, LENA: LENA, "person@example.com": ""}
    assert contact_of(portal, ADA).writes[-1].properties == {ID_PROPERTY: ADA}
    calls = portal.log.total
    again, report = await backfilled(portal, tmp_path)
    assert (again.lacking, report.contacts_written, portal.log.total - calls) == (0, 0, 2)


async def test_many_contacts_take_a_search_for_two_hundred_and_three_calls_for_a_hundred(
    portal: Portal, tmp_path: Path
) -> None:
    keys = [f"contact{number:03}@example.com" for number in range(2 * MOST_LISTED + 1)]
    ours(portal, *keys)

    _, report = await backfilled(portal, tmp_path)

    assert values(portal) == {key: key for key in keys}
    assert dict(report.calls) == {}
    assert {path.rpartition("/")[2]: sum(by.values()) for path, by in portal.log.by_path().items()} == {
        "search": 4,
        "read": 10,
        "update": 5,
    }


@pytest.mark.parametrize("dies_at", range(1, 13))
async def test_killed_at_any_call_it_goes_on_and_writes_each_contact_once(
    portal: Portal, tmp_path: Path, dies_at: int
) -> None:
    keys = [f"contact{number:03}@example.com" for number in range(MOST_LISTED + 1)]
    ours(portal, *keys)
    calls, dying, searches = 0, [dies_at], list[str]()

    async def die(request: httpx.Request) -> None:
        nonlocal calls
        calls += 1
        if request.url.path.endswith("/search"):
            searches.append(json.loads(request.content)["filterGroups"][0]["filters"][1]["value"])
        if calls in dying:
            raise Killed

    for _ in range(2):
        try:
            await backfilled(portal, tmp_path, before=die)
        except Killed:
            dying.clear()

    assert values(portal) == {key: key for key in keys}
    assert {len(contact.writes) for contact in portal.contacts.all()} == {2}
    # The first page takes seven calls, with its search.
    assert searches.count("0") == (2 if dies_at <= 7 else 1)


async def test_a_contact_that_is_moved_before_it_is_held_gets_the_value_of_its_new_email(
    portal: Portal, tmp_path: Path
) -> None:
    [ada] = ours(portal, ADA)
    contact = contact_of(portal, ADA)

    await backfilled(portal, tmp_path, at_hold=lambda: portal.contacts.update(contact, {"email": GRACE}))
    await backfilled(portal, tmp_path)

    assert values(portal) == {GRACE: GRACE}
    assert contact.id == ada


async def test_a_value_that_a_worker_with_the_former_setting_left_behind_is_corrected(
    portal: Portal, tmp_path: Path
) -> None:
    await Writer(portal).write(upsert(ADA))
    former = Writer(portal, EMAIL)
    assert await former.client.move(contact_of(portal, ADA).id, GRACE) is None
    await former.write(upsert(GRACE))

    await backfilled(portal, tmp_path)

    assert values(portal) == {GRACE: GRACE}


async def test_a_merged_contact_gets_the_value_of_its_primary_email(portal: Portal, tmp_path: Path) -> None:
    ours(portal, ADA, hs_additional_emails=GRACE)
    portal.contacts.update(contact_of(portal, ADA), {OURS: GRACE})

    await backfilled(portal, tmp_path)

    assert values(portal) == {ADA: ADA}


async def test_a_value_that_another_contact_has_is_left_to_people_and_named(portal: Portal, tmp_path: Path) -> None:
    await Writer(portal).write(upsert(ADA))
    first = contact_of(portal, ADA)
    portal.contacts.update(first, {"email": "countess@example.com"})
    ours(portal, ADA)

    _, report = await backfilled(portal, tmp_path)

    [refused] = report.refused
    assert (refused.contact, first.id in refused.detail, "merge" in refused.detail) == (ADA, True, True)
    assert values(portal) == {"countess@example.com": ADA, ADA: ""}


async def test_who_is_suppressed_is_left_alone(portal: Portal, tmp_path: Path) -> None:
    ours(portal, ADA, GRACE)

    _, report = await backfilled(portal, tmp_path, suppressed={ADA})

    assert (report.contacts_suppressed, report.contacts_written, values(portal)) == (1, 1, {ADA: "", GRACE: GRACE})


async def test_what_passes_is_waited_out_and_a_list_that_does_not_go_on_ends_it(portal: Portal, tmp_path: Path) -> None:
    ours(portal, ADA, GRACE)
    calls = 0

    async def sometimes_away(request: httpx.Request) -> None:
        nonlocal calls
        calls += 1
        if calls in (1, 3, 5, 8):
            raise httpx.ConnectError("away", request=request)

    await backfilled(portal, tmp_path / "first", before=sometimes_away)
    assert values(portal) == {ADA: ADA, GRACE: GRACE}

    same = {"total": 1, "results": [{"id": "151", "properties": {"email": ADA, ID_PROPERTY: ADA}}]}
    portal.faults.add(Fault(answer=StatusAnswer(status=200, body=json.dumps(same))))
    with pytest.raises(CannotRead, match="in the order of their ids"):
        await backfilled(portal, tmp_path / "second")
