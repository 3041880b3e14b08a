"""The audit: what the topics come to, beside what HubSpot holds, contact by contact. It writes nothing."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from hubspot_consumer.delivery.batches import calls_of
from hubspot_consumer.hubspot.requests import MOST_UPSERTS
from hubspot_consumer.reprocessing.comparison import ContactDifference, differences
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.session import RunAccess
from schemas.contacts import ContactKey

# More is no drift but another portal, or none; and whoever reads the report has to end somewhere.
MOST_CONTACTS: Final = 10_000


class Audit:
    """Compares contacts in calls of a hundred, in slots; those that differ are looked at twice."""

    def __init__(self, topics: TopicProjections, access: RunAccess) -> None:
        self._topics = topics
        self._access = access
        self.compared = 0
        self.suppressed = 0

    async def compare(
        self, batches: Iterable[Sequence[ContactKey]], told: Callable[[int], object]
    ) -> list[ContactDifference]:
        """Return how contacts differ, contact by contact. The topics must be followed. Raises CannotRead."""
        suspects: list[ContactKey] = []
        for keys in batches:
            allowed = [key for key in keys if not self._access.suppressions.contains(key)]
            self.suppressed += len(keys) - len(allowed)
            for together in calls_of(allowed, MOST_UPSERTS):
                suspects += contacts_of(await self._compare(together))
                self.compared += len(together)
                told(self.compared)
            if len(suspects) > MOST_CONTACTS:
                break
        return [each for together in calls_of(suspects, MOST_UPSERTS) for each in await self._compare(together)]

    async def _compare(self, keys: Sequence[ContactKey]) -> list[ContactDifference]:
        # In this order: what the group had finished before is in what HubSpot holds, and that is in the topics after.
        unfinished = await self._topics.unfinished_now()
        await self._access.held.until_answered(
            lambda: self._topics.moved.resolve(keys, self._access.client, move=False),
        )
        names = {name for key in keys for name in self._topics.project(key).properties}
        held = await self._access.held.contacts(keys, names)
        await self._topics.caught_up()
        found = []
        for key in keys:
            contact = held.get(key)
            projection = self._topics.expected(key, contact, unfinished).projection
            found += differences(projection, contact) if projection.wanted else []
        return found


def contacts_of(found: Iterable[ContactDifference]) -> list[ContactKey]:
    """Return the contacts of differences that are in the order of contacts, each once."""
    return [key for key, _ in groupby(found, key=lambda difference: difference.contact)]
