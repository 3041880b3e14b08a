"""The audit: reconciliation of the topics with HubSpot, contact by contact. It writes nothing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from hubspot_consumer.delivery.batches import calls_of
from hubspot_consumer.history.projection import Projection, is_at_or_after
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.requests import MOST_UPSERTS, RemoteContact
from hubspot_consumer.kafka.records import Offsets, Place
from hubspot_consumer.reprocessing.comparison import ContactDifference, differences
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.session import RunAccess
from hubspot_consumer.reprocessing.snapshot import Snapshot
from schemas.contacts import ContactKey

# More differences are no drift, but a sign of a wrong or an empty portal, and nobody could read such a long report.
MOST_CONTACTS: Final = 10_000


class Audit:
    """Compares contacts, a hundred a call, within the quota; contacts that differ are compared a second time.

    With a *snapshot* it reads only those contacts that the snapshot lacks or shows otherwise. Contacts with email
    changes are always read: which keys are one contact depends on what HubSpot holds now.
    """

    def __init__(self, topics: TopicProjections, access: RunAccess, snapshot: Snapshot | None = None) -> None:
        self._topics = topics
        self._access = access
        self._snapshot = snapshot
        self.compared = 0
        self.read = 0
        self.suppressed = 0
        # Events that the group had finished, although another event has their sequence.
        self.reused: dict[Place, Stored] = {}

    async def compare(
        self, batches: Iterable[Sequence[ContactKey]], progress: Callable[[int], object] = lambda _compared: None
    ) -> list[ContactDifference]:
        """Return the differences, contact by contact; *progress* is called with the number of compared contacts.

        Raises CannotRead.
        """
        suspects: list[ContactKey] = []
        for keys in self._to_read(batches, progress):
            for together in calls_of(keys, MOST_UPSERTS):
                suspects += contacts_of(await self._compare(together))
                self.read += len(together)
                self.compared += len(together)
                progress(self.compared)
            if len(suspects) > MOST_CONTACTS:
                break
        return [each for together in calls_of(suspects, MOST_UPSERTS) for each in await self._compare(together)]

    def _to_read(
        self, batches: Iterable[Sequence[ContactKey]], progress: Callable[[int], object]
    ) -> Iterator[Sequence[ContactKey]]:
        """Yield the contacts to read; those that the snapshot shows as they should be are compared by that."""
        unlike: list[ContactKey] = []
        for keys in batches:
            allowed = [key for key in keys if not self._access.suppressions.contains(key)]
            self.suppressed += len(keys) - len(allowed)
            if self._snapshot is None or self._topics.any_moved(allowed):
                yield allowed
                continue
            differing = [key for key in allowed if not self._is_in(self._snapshot, key)]
            self.compared += len(allowed) - len(differing)
            progress(self.compared)
            unlike += differing
            # Full calls only, and the rest at the end.
            full = len(unlike) - len(unlike) % MOST_UPSERTS
            yield unlike[:full]
            del unlike[:full]
        yield unlike

    def _is_in(self, snapshot: Snapshot, key: ContactKey) -> bool:
        contact = snapshot.contact(key)
        projection = self._projection(key, contact, snapshot.unfinished)
        return not projection.wanted or (contact is not None and snapshot.shows(projection, contact))

    async def _compare(self, keys: Sequence[ContactKey]) -> list[ContactDifference]:
        # The order matters: HubSpot has all that the group had finished, and the topics then have all that HubSpot had.
        unfinished = await self._topics.lag.unfinished()
        await self._access.reader.until_answered(
            lambda: self._topics.moved.resolve(keys, self._access.client, self._access.client.slot, move=False),
        )
        names = {name for key in keys for name in self._topics.project(key).properties}
        contacts = await self._access.reader.contacts(keys, names)
        await self._topics.scan.caught_up()
        found = []
        for key in keys:
            contact = contacts.get(key)
            projection = self._projection(key, contact, unfinished)
            found += differences(projection, contact) if projection.wanted else []
        return found

    def _projection(self, key: ContactKey, contact: RemoteContact | None, unfinished: Offsets) -> Projection:
        projection = self._topics.expected(key, contact, unfinished).projection
        finished = [each for each in projection.reused if not is_at_or_after(each, self._topics.unfinished)]
        self.reused |= {each.place: each for each in finished}
        return projection


def contacts_of(found: Iterable[ContactDifference]) -> list[ContactKey]:
    """Return the contacts of *found*, each once; the differences of a contact must be next to each other."""
    return [key for key, _ in groupby(found, key=lambda difference: difference.contact)]
