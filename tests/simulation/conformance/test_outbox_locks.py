"""The model of the relay's locks and notifications, held against PostgreSQL: each scenario runs on both."""

import asyncio

import psycopg
import pytest

from producer.relay.lock import SILENT_FOR_S
from producer.relay.outbox import Outbox
from tests.polling import eventually
from tests.simulation.conformance.outbox_scenarios import WAITS_S, begun, committed, merchant, on_both, positions
from tests.simulation.conformance.outbox_sides import Side


async def notifications(outbox: Outbox) -> int:
    return len([one async for one in outbox._reading.notifies(timeout=WAITS_S, stop_after=1)])


@on_both
async def test_one_relay_is_active_until_its_connection_ends(side: Side) -> None:
    first, second = await side.outbox(), await side.outbox()
    assert await second.holder() is None
    assert await first.become_active()
    assert not await second.become_active()
    holder = await second.holder()
    assert holder is not None
    assert (holder.application_name, holder.may_be_a_relay) == ("nerava-relay", True)
    assert await first.holder() is None

    await first.close()

    await eventually(second.become_active, saying="the lock is free")


@on_both
async def test_the_lock_of_a_killed_relay_is_free_soon(side: Side) -> None:
    first, second = await side.outbox(), await side.outbox()
    assert await first.become_active()
    assert await first.fall_asleep()

    await side.kill(first)

    await eventually(second.become_active, saying="the lock is free")
    assert await second.fall_asleep()


@on_both
async def test_a_relay_that_can_not_have_both_locks_holds_neither(side: Side) -> None:
    outbox = await side.outbox()
    assert await side.try_lock(of_the_table=True)

    assert not await outbox.become_active()

    assert await side.try_lock(of_the_table=False)


@on_both
async def test_an_active_relay_excludes_others_by_both_locks(side: Side) -> None:
    outbox = await side.outbox()
    assert await outbox.become_active()

    assert not await side.try_lock(of_the_table=True)
    assert not await side.try_lock(of_the_table=False)


@on_both
async def test_a_relay_is_deposed_only_when_it_was_silent(side: Side) -> None:
    active, standby = await side.outbox(), await side.outbox()
    await committed(side, merchant(1))
    assert await active.become_active()
    await asyncio.sleep(SILENT_FOR_S - 0.5)
    assert not await standby.depose()
    await active.beat()
    await asyncio.sleep(1)
    assert not await standby.depose()
    await asyncio.sleep(SILENT_FOR_S - 0.9)

    assert await standby.depose()

    await eventually(standby.become_active, saying="the lock is free")
    with pytest.raises(psycopg.OperationalError):
        await active.beat()
    # Its other connection goes on: what it deletes is published.
    await active.delete([1])
    assert await positions(standby) == []


@on_both
async def test_a_relay_that_was_cut_off_keeps_the_lock_until_it_is_deposed(side: Side) -> None:
    active, standby = await side.outbox(), await side.outbox()
    assert await active.become_active()

    await side.cut(active)
    await active.close()

    await asyncio.sleep(1)
    assert not await standby.become_active()
    assert not await standby.depose()
    await asyncio.sleep(SILENT_FOR_S - 0.9)
    assert not await standby.become_active()
    assert await standby.depose()
    await eventually(standby.become_active, saying="the lock is free")


@on_both
async def test_a_writer_notifies_a_relay_that_sleeps_when_it_commits(side: Side) -> None:
    outbox, other = await side.outbox(), await side.outbox()
    assert await outbox.fall_asleep()
    writing = await begun(side, merchant(1), merchant(2))
    assert await notifications(outbox) == 0

    await writing.commit()

    assert (await notifications(outbox), await notifications(other)) == (1, 1)
    await (await begun(side, merchant(1))).rollback()
    assert await notifications(outbox) == 0


@on_both
async def test_a_writer_does_not_notify_a_relay_that_is_awake(side: Side) -> None:
    outbox = await side.outbox()
    assert await outbox.fall_asleep()
    await outbox.wake_up()

    await committed(side, merchant(1))

    assert await notifications(outbox) == 0


@on_both
async def test_a_relay_does_not_sleep_while_a_writer_may_not_have_seen_it(side: Side) -> None:
    outbox = await side.outbox()
    idle, writing = await side.begin(), await begun(side, merchant(1))
    assert not await outbox.fall_asleep()
    await writing.commit()
    assert await outbox.fall_asleep()

    # This one began before, and looks only now.
    await idle.track(*merchant(2))
    await idle.commit()

    assert await notifications(outbox) == 1
