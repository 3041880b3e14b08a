"""Email changes ("moves"): a person with a new email has two contact keys and one contact in HubSpot, of the newer key.

A write with the older key would create the contact again. So the events of the older key are applied to the newer key,
before its own events. The exception is an older key that still has a contact in HubSpot: its move is pending or was
refused.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from hubspot_consumer.delivery.destination import Destination
from hubspot_consumer.history.store import EventStore
from hubspot_consumer.hubspot.client import WaitForSlot
from hubspot_consumer.hubspot.outcomes import Halt, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import MOST_UPSERTS, HeldContacts, KnownContacts
from schemas.contacts import ContactKey


class JoinedKeys:
    """The groups of keys that belong to one contact, built from the moves and remote contacts given to `join`."""

    def __init__(self) -> None:
        self.gone: set[ContactKey] = set()
        self._before: dict[ContactKey, list[ContactKey]] = {}

    def histories(self, key: ContactKey) -> Sequence[ContactKey]:
        """Return the keys whose events make up a contact, oldest first; none for a key that was replaced."""
        return () if key in self.gone else (*self._before.get(key, ()), key)

    def join(self, previous: ContactKey, key: ContactKey, known: KnownContacts | HeldContacts) -> None:
        """Add a move, given the remote contacts of both keys; moves must come in order, oldest first.

        Where both keys have the same remote contact, *known* is changed: the older key has none any more.
        """
        contact, holder = known.get(previous), known.get(key)
        if contact is not None and holder is not None and contact.contact_id == holder.contact_id:
            # HubSpot stores the older email as a secondary email of the same contact.
            known[previous] = None
        self.gone.discard(previous)
        if known.get(previous) is None:
            self.gone.add(previous)
            before = self._before.setdefault(key, [])
            before += [one for one in (*self._before.get(previous, ()), previous) if one not in (key, *before)]


class EmailChanges(JoinedKeys):
    """The email changes in the *store*, resolved against HubSpot.

    *count_move* is called for each contact that is given its newer email at HubSpot. If there are *contacts*, the store
    has the events of no other: one that is moved to another email during the run is left to the workers.
    """

    def __init__(
        self,
        store: EventStore,
        count_move: Callable[[], object] = lambda: None,
        contacts: Collection[ContactKey] = (),
    ) -> None:
        super().__init__()
        self._store = store
        self._contacts = frozenset(contacts)
        self._count_move = count_move
        # Moves that were resolved: when one of the two keys comes alone later, its state stays as it is.
        self._resolved: Final = set[tuple[ContactKey, ContactKey]]()

    def batches(self) -> list[list[ContactKey]]:
        """Return the keys of all moves in batches of one call; the keys of one contact are in the same batch."""
        batches: list[list[ContactKey]] = []
        for chain in self._chains():
            if not batches or len(batches[-1]) + len(chain) > MOST_UPSERTS:
                batches.append([])
            batches[-1] += chain
        return batches

    def together(self, keys: Iterable[ContactKey]) -> list[ContactKey]:
        """Return *keys*, each once and after the other keys of the same contact."""
        chain_of = {key: chain for chain in self._chains() for key in chain}
        together: dict[ContactKey, None] = {}
        for key in keys:
            together |= dict.fromkeys(one for one in chain_of.get(key, ()) if one != key) | {key: None}
        return list(together)

    async def resolve(
        self, keys: Sequence[ContactKey], destination: Destination, slot: WaitForSlot, *, move: bool = True
    ) -> RetryLater | Halt | None:
        """Look up which keys have remote contacts; with *move*, change the email of those under the older key.

        Each call is made in its own *slot*. The keys must be held if *move* is set.
        Returns why HubSpot can't be called now, or None.
        """
        moves = [(previous, key) for previous, key in self._store.moves() if previous in keys or key in keys]
        # A contact whose move was read just now is written at the end, together with the other keys of its move.
        self.gone.update(
            previous for previous, key in moves if key not in keys and (previous, key) not in self._resolved
        )
        moves = [(previous, key) for previous, key in moves if previous in keys and key in keys]
        if not moves:
            return None
        known = await destination.known_contacts(keys, slot)
        if isinstance(known, RetryLater | Halt):
            return known
        if known is None or isinstance(known, Rejected):
            known = {}
        for previous, key in moves:
            if move and (refusal := await self._move(previous, key, known, destination, slot)) is not None:
                return refusal
            self.join(previous, key, known)
            self._resolved.add((previous, key))
        return None

    def _chains(self) -> list[list[ContactKey]]:
        stored = self._contacts
        return _chains([move for move in self._store.moves() if not stored or stored.issuperset(move)])

    async def _move(
        self,
        previous: ContactKey,
        key: ContactKey,
        known: KnownContacts,
        destination: Destination,
        slot: WaitForSlot,
    ) -> RetryLater | Halt | None:
        contact, holder = known.get(previous), known.get(key)
        if contact is None or holder is not None:
            return None
        with await slot():
            refusal = await destination.move(contact.contact_id, key)
        if isinstance(refusal, RetryLater | Halt):
            return refusal
        if refusal is None:
            self._count_move()
            known[key], known[previous] = contact, None
        return None


def _chains(moves: Sequence[tuple[ContactKey, ContactKey]]) -> list[list[ContactKey]]:
    """Return the groups of keys that moves link, each group once."""
    group_of: dict[ContactKey, list[ContactKey]] = {}
    for previous, key in moves:
        first, second = group_of.get(previous, [previous]), group_of.get(key, [key])
        together = first if first is second else first + second
        group_of |= dict.fromkeys(together, together)
    unique = {id(group): group for group in group_of.values()}
    return list(unique.values())
