"""The backend of a simulation: overlapping transactions that track events of drivers and merchants, by seed."""

import asyncio
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from psycopg import OperationalError

from sandbox.day.traffic import TIME_FIELDS
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.outbox.database import Database
from tests.simulation.outbox.transactions import Transaction

Planned = tuple[str, dict[str, Any]]

WRITERS: Final = 4
SHARE_OF_MERCHANTS: Final = 0.3
SHARE_THAT_SIGNS_UP_LATE: Final = 0.2
SHARE_ROLLED_BACK: Final = 0.08
SHARE_OF_SEVERAL: Final = 0.3
# Most transactions are short. A long one holds the contact's lock, and its positions, while others commit.
LONGEST_S: Final = 0.05
SHARE_OF_LONG: Final = 0.05
LONG_S: Final = 3.0
TRY_AGAIN_AFTER_S: Final = 0.5
# Once nothing is written for a while, so that the relays fall asleep.
LULL_S: Final = 5.0


@dataclass
class _Person:
    """A driver or a merchant, and the emails that it has had."""

    number: int
    merchant: bool
    emails: int = 0
    signed_up: bool = False

    @property
    def email(self) -> str:
        moved = f".{self.emails}" if self.emails > 1 else ""
        return f"{'Cafe' if self.merchant else 'Driver'}.{self.number}{moved}@example.com"


class Backend:
    """Tracks *events* events of *contacts* contacts within about *within_s* seconds of virtual time.

    *email_changes* is the probability that a contact's next event changes its email.
    What a transaction that was rolled back, or lost with the database's connection, would have tracked is tried again.
    What a restore of the database loses is not.
    """

    def __init__(
        self,
        loop: SimulatedLoop,
        database: Database,
        chance: Random,
        *,
        contacts: int = 30,
        events: int = 300,
        within_s: float = 60.0,
        email_changes: float = 0.03,
    ) -> None:
        self.process: Final = Process("backend")
        self._database: Final = database
        self._chance: Final = chance
        self._loop: Final = loop
        self._pause_s: Final = 2 * WRITERS * within_s / events
        self._lull_begins_at: Final = chance.random() * within_s
        happening = planned(chance, contacts=contacts, events=events, email_changes=email_changes)
        # The events of a merchant are written one after the other, as they happen: an event of the former email that
        # committed after the change would be one of a new contact.
        self._planned: Final[list[deque[Planned]]] = [deque() for _ in range(WRITERS)]
        for one in happening:
            merchant = one[1]["merchant_id"] if one[0].startswith("merchant_") else None
            writer = int(merchant.removeprefix("mer_")) % WRITERS if merchant else chance.randrange(WRITERS)
            self._planned[writer].append(one)
        # The keys of contacts that moved to another email and their next keys, by the id of the event.
        self.moves: Final[dict[str, tuple[str, str]]] = {}
        self.run: Final[asyncio.Task[Any]] = loop.start(self.process, self._work())

    async def _work(self) -> None:
        await asyncio.gather(*(self._write(planned) for planned in self._planned))

    async def _write(self, planned: deque[Planned]) -> None:
        chance = self._chance
        while planned:
            await asyncio.sleep(chance.random() * self._pause_s)
            if 0 < (into_lull_s := self._loop.time() - self._lull_begins_at) < LULL_S:
                await asyncio.sleep(LULL_S - into_lull_s)
            number = chance.randint(2, 5) if chance.random() < SHARE_OF_SEVERAL else 1
            taken = [planned.popleft() for _ in range(min(number, len(planned)))]
            if taken and not await self._commits(taken):
                planned.extendleft(reversed(taken))
                await asyncio.sleep(TRY_AGAIN_AFTER_S)

    async def _commits(self, events: list[Planned]) -> bool:
        transaction: Transaction | None = None
        try:
            transaction = self._database.begin()
            await self._hold()
            now = f"{transaction.now:%Y-%m-%dT%H:%M:%S.%fZ}"
            stamped = [(event_type, {**payload, TIME_FIELDS[event_type]: now}) for event_type, payload in events]
            if self._chance.random() < 0.5:
                ids = await transaction.track_several(stamped)
            else:
                ids = []
                for event_type, payload in stamped:
                    ids.append(await transaction.track(event_type, payload))
                    await self._hold()
            await self._hold()
            if self._chance.random() < SHARE_ROLLED_BACK:
                transaction.rollback()
                return False
            transaction.commit()
        except OperationalError:
            # The server is down, has ended the connection, or has found a deadlock.
            return False
        for event_id, (_, payload) in zip(ids, stamped, strict=True):
            if "previous_email" in payload:
                self.moves[event_id] = payload["previous_email"].lower(), payload["email"].lower()
        return True

    async def _hold(self) -> None:
        longest_s = LONG_S if self._chance.random() < SHARE_OF_LONG else LONGEST_S
        await asyncio.sleep(self._chance.random() * longest_s)


def planned(chance: Random, *, contacts: int, events: int, email_changes: float) -> list[Planned]:
    """Return at least *events* events without their times, in the order in which they happen."""
    people = [_Person(number, merchant=chance.random() < SHARE_OF_MERCHANTS) for number in range(contacts)]
    late = {person.number for person in people if chance.random() < SHARE_THAT_SIGNS_UP_LATE}
    happening: list[Planned] = []
    for number in range(events):
        person = chance.choice(people)
        # An event before the signup is parked until then; nobody is still parked at the end.
        waits = person.number in late and chance.random() < 0.7
        signs_up = not person.signed_up and not waits
        changes_email = person.signed_up and chance.random() < email_changes
        happening.append(_event(chance, person, number, names_email=signs_up or changes_email))
    happening += [_signup(person) for person in people if not person.merchant and not person.signed_up]
    return happening


def _event(chance: Random, person: _Person, number: int, *, names_email: bool) -> Planned:
    if person.merchant:
        return _merchant(chance, person, number, names_email=names_email)
    if names_email:
        return _signup(person)
    user = f"usr_{person.number}"
    amount = {"user_id": user, "amount_cents": chance.randrange(1, 2_000)}
    redemption = {**amount, "merchant_id": "mer_0", "redemption_id": f"red_{number}"}
    kind = chance.random()
    if kind < 0.1:
        return "wallet_pass_installed", {"user_id": user, "pass_type": "apple"}
    if kind < 0.2:
        return "first_redemption_completed", redemption
    if kind < 0.5:
        return "nova_redeemed", {**redemption, "new_balance_cents": number}
    return "nova_earned", {**amount, "session_id": f"ses_{number}", "new_balance_cents": number}


def _signup(person: _Person) -> Planned:
    person.signed_up = True
    person.emails += 1
    return "driver_signed_up", {
        "user_id": f"usr_{person.number}",
        "email": person.email,
        "auth_provider": "google",
    }


def _merchant(chance: Random, person: _Person, number: int, *, names_email: bool) -> Planned:
    named = {"merchant_id": f"mer_{person.number}"}
    if not person.signed_up:
        person.signed_up = True
        person.emails = 1
        created = {"email": person.email, "name": f"Owner {person.number}", "business_name": f"Café {person.number}"}
        return "merchant_contact_created", {**named, **created}
    changed = {chance.choice(("phone", "name", "business_name")): f"number {number}"}
    if names_email:
        previous = person.email
        person.emails += 1
        changed["previous_email"] = previous
    return "merchant_contact_updated", {**named, "email": person.email, **changed}
