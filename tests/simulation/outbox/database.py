"""The simulated server of the outbox: sessions and their locks, the backend's transactions, restarts and backups."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from psycopg.errors import AdminShutdown

from producer.recovery.published import Contact as PublishedContact
from producer.recovery.published import Published
from sandbox.day.ledger import Committed
from schemas.outbox import ASLEEP_LOCK
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import SLOWEST_S, Network
from tests.simulation.outbox.tables import Contact, Tables
from tests.simulation.outbox.transactions import RowLocks, Transaction

# Seconds for which a host repeats the end of a connection, as it does with any other data: tcp_user_timeout.
GOODBYE_S: Final = 15.0
# Seconds after which the server's own host finds out that a client is gone which said no goodbye: Linux's defaults.
KEEPALIVE_S: Final = 7_875.0


@dataclass(eq=False)
class Session:
    """A client's connection, as the server has it."""

    process: Process
    application_name: str
    pid: int = 0
    # How often it holds each advisory lock.
    locks: Counter[int] = field(default_factory=Counter)
    listens: bool = False
    ended: bool = False
    # By the server's clock, in seconds.
    state_change: float = 0.0
    # Statements of the client that the server has not got yet.
    under_way: int = 0
    # When the client's host ended the connection, and whether the server will not hear of that.
    left_at: float | None = None
    goodbye_lost: bool = False
    # Calls of the client: a notification, and the end of the connection.
    notify: Callable[[], None] = lambda: None
    lose: Callable[[], None] = lambda: None


class Database:
    """PostgreSQL with an outbox. Everything happens at once in it, but for waits for row locks.

    `committed` are the events of all transactions that have committed, in this order; `undone` are those of them that a
    restore has lost.
    """

    def __init__(self, loop: SimulatedLoop, network: Network, chance: Random, start: datetime) -> None:
        self.loop: Final = loop
        self._start: Final = start
        self.network: Final = network
        self.chance: Final = chance
        self.tables = Tables()
        self.committed: list[Committed] = []
        self.undone: Final[list[Committed]] = []
        # Seconds by which the server's clock differs from the time of the world.
        self.clock_ahead_s = 0.0
        self.sessions: dict[int, Session] = {}
        self.transactions: dict[str, Transaction] = {}
        self._row_locks = RowLocks()
        self._pids = self._virtual = 0

    def clock(self) -> float:
        """Return the seconds since the start, by the server's clock."""
        return self.loop.time() + self.clock_ahead_s

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.clock())

    @property
    def drained(self) -> bool:
        """Whether everything committed is published."""
        return not self.tables.events and not self.transactions

    def begin(self) -> Transaction:
        """Begin a transaction of the backend. Raises AdminShutdown while the server is down."""
        if "database" in self.network.down:
            raise AdminShutdown("the server is down")
        self._virtual += 1
        transaction = Transaction(
            f"9/{self._virtual}",
            self.now(),
            self.tables,
            self._row_locks,
            new_id=self._new_id,
            relay_sleeps=self._relay_sleeps,
            end=self._ended,
        )
        self.transactions[transaction.virtual] = transaction
        return transaction

    def log_in(self, session: Session) -> None:
        self._pids += 1
        session.pid = self._pids
        session.state_change = self.clock()
        self.sessions[session.pid] = session

    def terminate(self, session: Session) -> None:
        """End a session, as `pg_terminate_backend` does."""
        self._end(session)
        self.network.send_back(session.process, "database", session.lose)

    def restart(self) -> None:
        """End all sessions and transactions, as a crash of the server does."""
        for transaction in list(self.transactions.values()):
            transaction.rollback()
        for session in list(self.sessions.values()):
            self.terminate(session)
        # A sequence is logged 32 values ahead.
        self.tables.next_position += self.chance.randrange(33)

    def backup(self) -> tuple[Tables, int]:
        """Return the tables, and the number of events committed, as `restore` takes them."""
        return self.tables.copy(), len(self.committed)

    def restore(self, backup: tuple[Tables, int]) -> None:
        """Restore *backup*, or fail over to a standby that got no more than that."""
        self.restart()
        tables, committed = backup
        self.tables = tables.copy()
        self.undone.extend(self.committed[committed:])
        del self.committed[committed:]

    def recover(self, records: Iterable[Any]) -> None:
        """Do what `python -m producer recover --apply` does with Kafka's *records*."""
        tables = self.tables
        published = Published({}, {one.event_id for parked in tables.parked.values() for one in parked})
        for record in records:
            published.add(record)
        left = {
            user: tuple(one for one in parked if one.event_id not in published.parked_too)
            for user, parked in tables.parked.items()
        }
        tables.parked = {user: parked for user, parked in left.items() if parked}
        contacts = tables.contacts
        for key, newest in published.contacts.items():
            known = contacts.get(key, Contact())
            raised = PublishedContact(known.sequence, known.totals).raised_to(newest)
            contacts[key] = Contact(
                known.external_id,
                raised.sequence,
                raised.totals["nova_earned_cents"],
                raised.totals["nova_redeemed_cents"],
            )

    def try_lock(self, session: Session, key: int) -> bool:
        """Take the advisory lock for the session, as `pg_try_advisory_lock` does; it may take it several times."""
        free = not any(other.locks[key] for other in self.sessions.values() if other is not session)
        if free:
            session.locks[key] += 1
        return free

    def unlock(self, session: Session, key: int) -> bool:
        held = session.locks[key] > 0
        if held:
            session.locks[key] -= 1
        return held

    def holds(self, session: Session, keys: tuple[int, ...]) -> bool:
        return any(session.locks[key] for key in keys)

    def end_left_sessions(self) -> None:
        """End the sessions whose clients are gone, as far as the server has heard of that by now."""
        now = self.loop.time()
        for session in list(self.sessions.values()):
            if session.left_at is None:
                if session.process.dead:
                    session.left_at = now
                continue
            if now - session.left_at < SLOWEST_S:
                continue
            if (session.process, "database") in self.network.cut:
                session.goodbye_lost |= now - session.left_at > GOODBYE_S
            elif not session.goodbye_lost and (not session.under_way or now - session.left_at > GOODBYE_S):
                self._end(session)
                continue
            if now - session.left_at > KEEPALIVE_S:
                self._end(session)

    def _end(self, session: Session) -> None:
        session.ended = True
        self.sessions.pop(session.pid, None)

    def _new_id(self) -> str:
        milliseconds = int(self.now().timestamp() * 1000)
        bits = (milliseconds << 80) | (7 << 76) | (self.chance.getrandbits(12) << 64) | (2 << 62)
        digits = f"{bits | self.chance.getrandbits(62):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _relay_sleeps(self, transaction: Transaction) -> bool:
        """Share ASLEEP_LOCK until the transaction's end, or return True if a relay holds it."""
        self.end_left_sessions()
        sleeps = any(session.locks[ASLEEP_LOCK] for session in self.sessions.values())
        transaction.shares_asleep_lock = not sleeps
        return sleeps

    def _ended(self, transaction: Transaction) -> None:
        del self.transactions[transaction.virtual]
        self.committed += transaction.events
        if transaction.notifies:
            for session in self.sessions.values():
                if session.listens:
                    self.network.send_back(session.process, "database", session.notify)
