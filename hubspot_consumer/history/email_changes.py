"""Moved contacts: whoever has a new email has two contact keys, and one contact in HubSpot, of the newer key.

To write the older key would create the contact again. So what happened under it goes to the newer one, before that
one's own events; unless HubSpot still has a contact of the older key, whose move is yet to come, or was refused.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from hubspot_consumer.delivery.destination import Destination
from hubspot_consumer.history.store import EventStore
from hubspot_consumer.hubspot.outcomes import Halt, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import MOST_UPSERTS, HeldContacts, KnownContacts
from schemas.contacts import ContactKey


class JoinedKeys:
    """Which keys are one contact, as far as `join` was told what HubSpot holds of them."""

    def __init__(self) -> None:
        self.gone: set[ContactKey] = set()
        self._before: dict[ContactKey, list[ContactKey]] = {}

    def histories(self, key: ContactKey) -> Sequence[ContactKey]:
        """Return the keys whose events a contact is made of, oldest first; none for one that was moved on."""
        return () if key in self.gone else (*self._before.get(key, ()), key)

    def join(self, previous: ContactKey, key: ContactKey, known: KnownContacts | HeldContacts) -> None:
        """Take a move, the older ones first, and what HubSpot holds of both keys; change *known* where they are one."""
        contact, holder = known.get(previous), known.get(key)
        if contact is not None and holder is not None and contact.contact_id == holder.contact_id:
            # HubSpot keeps the older one as a second email of the same contact.
            known[previous] = None
        self.gone.discard(previous)
        if known.get(previous) is None:
            self.gone.add(previous)
            before = self._before.setdefault(key, [])
            before += [one for one in (*self._before.get(previous, ()), previous) if one not in (key, *before)]


class EmailChanges:
    """By the moves that the *store* knows of. `histories` says what a contact's refold is made of.

    *count_move* is called for each contact that is given its newer email at HubSpot.
    """

    def __init__(self, store: EventStore, count_move: Callable[[], object] = lambda: None) -> None:
        self._store = store
        self._count_move = count_move
        self._joined: Final = JoinedKeys()
        # One of the two keys may come alone again, which tells nothing new of them.
        self._settled: Final = set[tuple[ContactKey, ContactKey]]()

    def concerns(self, key: ContactKey) -> bool:
        """Return whether a contact is part of a move: it is written with the others of it."""
        return self._store.moved(key)

    def batches(self) -> list[list[ContactKey]]:
        """Return the keys of all moves, those of one contact together, as many as a call takes."""
        batches: list[list[ContactKey]] = []
        for chain in _chains(self._store.moves()):
            if not batches or len(batches[-1]) + len(chain) > MOST_UPSERTS:
                batches.append([])
            batches[-1] += chain
        return batches

    def histories(self, key: ContactKey) -> Sequence[ContactKey]:
        """Return the keys whose events a contact's refold is made of, oldest first; none for one that was moved on."""
        return self._joined.histories(key)

    def others(self, key: ContactKey) -> list[ContactKey]:
        """Return the other keys of the same contact."""
        return [one for chain in _chains(self._store.moves()) if key in chain for one in chain if one != key]

    def with_others(self, keys: Collection[ContactKey]) -> frozenset[ContactKey]:
        """Return *keys* and the other keys of the same contacts; from now on only these were ever moved."""
        together = {key for chain in _chains(self._store.moves()) if not set(chain).isdisjoint(keys) for key in chain}
        self._store.keep_moves(together)
        return frozenset(together.union(keys))

    async def resolve(
        self, keys: Sequence[ContactKey], destination: Destination, *, move: bool = True
    ) -> RetryLater | Halt | None:
        """Find out whose contact is where; *move* whom HubSpot still has under the older key, if the keys are held."""
        moves = [(previous, key) for previous, key in self._store.moves() if previous in keys or key in keys]
        # A contact that was moved just now comes with the others of its move, at the end.
        self._joined.gone.update(
            previous for previous, key in moves if key not in keys and (previous, key) not in self._settled
        )
        moves = [(previous, key) for previous, key in moves if previous in keys and key in keys]
        if not moves:
            return None
        with await destination.slot():
            known = await destination.known_contacts(keys)
        if isinstance(known, RetryLater | Halt):
            return known
        if known is None or isinstance(known, Rejected):
            known = {}
        for previous, key in moves:
            if (refusal := await self._settle(previous, key, known, destination if move else None)) is not None:
                return refusal
            self._settled.add((previous, key))
        return None

    async def _settle(
        self, previous: ContactKey, key: ContactKey, known: KnownContacts, destination: Destination | None
    ) -> RetryLater | Halt | None:
        contact, holder = known.get(previous), known.get(key)
        if contact is not None and holder is None and destination is not None:
            with await destination.slot():
                refusal = await destination.move(contact.contact_id, key)
            if isinstance(refusal, RetryLater | Halt):
                return refusal
            if refusal is None:
                self._count_move()
                known[key], known[previous] = contact, None
        self._joined.join(previous, key, known)
        return None


def _chains(moves: Sequence[tuple[ContactKey, ContactKey]]) -> list[list[ContactKey]]:
    """Return the keys that moves link, each group once."""
    group_of: dict[ContactKey, list[ContactKey]] = {}
    for previous, key in moves:
        first, second = group_of.get(previous, [previous]), group_of.get(key, [key])
        together = first if first is second else first + second
        group_of |= dict.fromkeys(together, together)
    unique = {id(group): group for group in group_of.values()}
    return list(unique.values())
