"""A resync of contacts inside a worker's process: a run like any other, with connections and holds of its own."""

from collections.abc import Collection
from contextlib import AsyncExitStack
from typing import Final

from hubspot_consumer.history.projection import Selection
from hubspot_consumer.reprocessing.run import temporary_run
from hubspot_consumer.reprocessing.session import RunSession
from hubspot_consumer.settings import Settings
from schemas.contacts import ContactKey

NAME: Final = "resync"
# The share of the quota, unless the command `resync` is told another.
RATE_SHARE: Final = 0.1


async def resync_contacts(settings: Settings, keys: Collection[ContactKey]) -> Collection[ContactKey]:
    """Write contacts again from the topics, without their dead letters, and leave their timeline entries.

    Returns the contacts that were not written: HubSpot refuses them, they are suppressed, or the topics have no event
    of them that can be mapped. Raises KafkaError, SendingPaused and AnotherRun.
    """
    with temporary_run(NAME) as run:
        async with AsyncExitStack() as opened:
            session = RunSession(settings, run, NAME, RATE_SHARE, timeline=True, opened=opened)
            await session.keep_off_while_paused()
            selection = Selection(contacts=frozenset(keys), dead_letters=False)
            projections = await session.projections(selection, lambda _done, _total: None)
            async with session.access(projections) as access:
                written = await access.write(projections.moved.together(sorted(keys)))
    return set(keys).difference(written)
