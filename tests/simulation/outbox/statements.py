"""What the simulated server does for each statement of the relay, by the statement's text."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from datetime import timedelta
from itertools import islice, takewhile
from typing import Any, Final

from producer.relay import lock, statements
from schemas.outbox import ASLEEP_LOCK, RELAY_LOCK, RELAY_NAME
from tests.simulation.outbox.database import Database, Session

Rows = list[tuple[Any, ...]]
# None from a statement that returns no rows.
Answer = Rows | None

# The second lock belongs to the table: it has no number that clients know.
OF_THE_TABLE: Final = -2
_BOTH: Final = (RELAY_LOCK, OF_THE_TABLE)
# Seconds between WRITERS's look at the sequence and the one at the locks, at most.
_BETWEEN_LOOKS_S: Final = 0.001


def _array(text: str) -> list[int]:
    return [int(number) for number in text[1:-1].split(",")] if len(text) > len("{}") else []


def _head(database: Database, _: Session, given: dict[str, Any]) -> Answer:
    without = set(_array(given["without"]))
    return list(database.tables.head(given["first"], without, given["rows"], given["octets"]))


def _delete(database: Database, _: Session, given: list[str]) -> Answer:
    database.tables.delete(_array(given[0]))
    return None


def _keep(database: Database, _: Session, given: list[str]) -> Answer:
    now = database.now()
    database.tables.published.extend((now, row) for row in database.tables.delete(_array(given[0])))
    return None


def _forget(database: Database, _: Session, given: list[float]) -> Answer:
    published, until = database.tables.published, database.now() - timedelta(seconds=given[0])
    old = takewhile(lambda one: one[0] < until, islice(published, 5000))
    for _row in list(old):
        published.popleft()
    return None


def _writers(database: Database, _: Session, __: None) -> "asyncio.Future[Answer]":
    # Transactions may take positions, and end, between the look at the sequence and the one at the locks.
    newest = database.tables.next_position - 1
    answer: asyncio.Future[Answer] = database.loop.create_future()

    def look_at_locks() -> None:
        writers = [transaction.virtual for transaction in database.transactions.values() if transaction.writes]
        answer.set_result([(newest, True, writers)])

    database.loop.in_world(database.chance.random() * _BETWEEN_LOOKS_S, look_at_locks)
    return answer


def _take(database: Database, session: Session, _: None) -> Answer:
    database.end_left_sessions()
    if not database.try_lock(session, RELAY_LOCK):
        return [(False, None)]
    if database.try_lock(session, OF_THE_TABLE):
        return [(True, None)]
    return [(False, database.unlock(session, RELAY_LOCK))]


def _depose(database: Database, _: Session, __: None) -> Answer:
    database.end_left_sessions()
    silent_since = database.clock() - lock.SILENT_FOR_S
    sessions = list(database.sessions.values())
    silent = [one for one in sessions if database.holds(one, _BOTH) and one.state_change < silent_since]
    for session in silent:
        database.terminate(session)
    return [(True,) for _ in silent]


def _holder(database: Database, session: Session, _: None) -> Answer:
    database.end_left_sessions()
    found = [
        (other.pid, "nerava", other.application_name, other.application_name == RELAY_NAME)
        for other in database.sessions.values()
        if other is not session and database.holds(other, _BOTH)
    ]
    return list(sorted(found, key=lambda one: (one[3], one[0]))[:1])


def _fall_asleep(database: Database, session: Session, _: Any) -> Answer:
    database.end_left_sessions()
    shared = any(transaction.shares_asleep_lock for transaction in database.transactions.values())
    return [(not shared and database.try_lock(session, ASLEEP_LOCK),)]


def _wake_up(database: Database, session: Session, _: Any) -> Answer:
    return [(database.unlock(session, ASLEEP_LOCK),)]


def _backlog(database: Database, _: Session, given: dict[str, int]) -> Answer:
    positions = database.tables.positions
    waiting = positions[bisect_left(positions, given["first"]) :]
    if not waiting:
        return [(0, None, 0.0)]
    oldest = database.tables.events[waiting[0]].created_at
    return [(min(len(waiting), given["most"]), waiting[0], (database.now() - oldest).total_seconds())]


def _listen(_: Database, session: Session, __: None) -> Answer:
    session.listens = True
    return None


STATEMENTS: Final[dict[str, Callable[[Database, Session, Any], "Answer | asyncio.Future[Answer]"]]] = {
    statements.HEAD: _head,
    statements.DELETE: _delete,
    statements.KEEP: _keep,
    statements.FORGET: _forget,
    statements.WRITERS: _writers,
    statements.WHO: lambda _, session, __: [(session.pid, "")],
    statements.LOOK: lambda _, session, __: [(True, False, session.pid)],
    statements.SESSION: lambda _, __, ___: [("0",)],
    statements.BACKLOG: _backlog,
    statements.FALL_ASLEEP: _fall_asleep,
    statements.WAKE_UP: _wake_up,
    statements.LISTEN: _listen,
    lock.TAKE: _take,
    lock.DEPOSE: _depose,
    lock.HOLDER: _holder,
}
