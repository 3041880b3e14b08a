"""A probe that is killed at any of its calls: the next one deletes what it left, and finds the same."""

import asyncio
import copy

import httpx
import pytest

from hubspot_consumer.probe.run import MOST_CALLS
from sandbox.hubspot.records.portal import Portal
from tests.contract.probe.probing import Dying, Killed, holdings, probe


class Hanging(Dying):
    """Gives no answer to the 15th call."""

    def __init__(self, portal: Portal) -> None:
        super().__init__(portal)
        self.hangs = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if self.calls == 15:
            self.hangs.set()
            await asyncio.Event().wait()
        return answer


@pytest.mark.parametrize(
    ("switch", "differs"),
    [
        ({}, set()),
        pytest.param({"upserted_id": "left_out"}, {"id_property_set"}, marks=pytest.mark.chaos),
        # This leaves a contact without an email.
        ({"upsert_of_taken_email": "leave_out_email"}, {"id_property_conflict"}),
    ],
)
async def test_a_probe_killed_after_any_call_leaves_nothing_that_the_next_does_not_delete(
    provisioned: Portal, switch: dict[str, str], differs: set[str]
) -> None:
    provisioned = copy.deepcopy(provisioned)
    provisioned.change_settings(**switch)
    before, most = holdings(provisioned), (await probe(Dying(provisioned))).calls

    left_behind = 0
    for at in range(1, most + 1):
        with pytest.raises(Killed):
            await probe(Dying(provisioned, at))
        left_behind += holdings(provisioned) != before
        found = await probe(Dying(provisioned))
        assert holdings(provisioned) == before, f"killed at call {at}"
        assert (found.named("differs"), found.named("not_told")) == (differs, set())
        assert found.calls <= MOST_CALLS

    assert left_behind > most / 2, "most of these kills leave something"


async def test_a_probe_killed_while_it_deletes_what_another_left_leaves_nothing_for_ever(provisioned: Portal) -> None:
    before = holdings(provisioned)
    middle = (await probe(Dying(provisioned))).calls - 8

    for at in range(1, 9):
        for when in (middle, at):
            with pytest.raises(Killed):
                await probe(Dying(provisioned, when))
        assert (await probe(Dying(provisioned))).report.left is None
        assert holdings(provisioned) == before


async def test_a_cancelled_probe_deletes_what_it_made(provisioned: Portal) -> None:
    before = holdings(provisioned)
    transport = Hanging(provisioned)
    running = asyncio.create_task(probe(transport))
    await transport.hangs.wait()
    assert holdings(provisioned) != before

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert holdings(provisioned) == before


async def test_what_a_killed_probe_left_changes_nothing_of_what_the_next_finds(provisioned: Portal) -> None:
    provisioned.change_settings(partial_upsert_by_email="refuse")
    with pytest.raises(Killed):
        await probe(Dying(provisioned, 20))

    found = await probe(Dying(provisioned))

    assert found.report.leftovers > 1
    assert (found.named("differs"), found.named("not_told")) == ({"partial_upsert_by_email"}, set())
    provisioned.change_settings(partial_upsert_by_email="keep")
