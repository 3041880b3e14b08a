"""An import: it tracks the old worker's rows as events, in their order, each once, however often it is interrupted."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import (
    ColumnClause,
    Connection,
    Select,
    String,
    case,
    cast,
    column,
    exists,
    extract,
    func,
    or_,
    select,
    table,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from producer.old_outbox.rows import OldRow, Unimportable, read_row
from producer.old_outbox.table import OldTable
from producer.tracking import EventId, track_event

# Number of ids per query: each query for the next ids reads the whole table.
PAGE: Final = 10_000
# Rows per transaction. It keeps its contacts' locks until the commit, so a small number hardly delays the backend.
BATCH: Final = 100
# SQLSTATEs of deadlocks and serialisation failures, possible because the backend's transactions lock contacts too.
DEADLOCKS: Final = ("40P01", "40001")
TRIES: Final = 5
EXAMPLES: Final = 5

_IMPORTS: Final = table("outbox_imports", *map(column, ("source", "row_id", "event_id", "run"))).c
_READY: Final = text("SELECT to_regclass('outbox_imports') IS NOT NULL")
# The lock makes concurrent imports alternate batch by batch, so that each sees the other's results.
_ALONE: Final = text("LOCK TABLE outbox_imports IN SHARE ROW EXCLUSIVE MODE")
_KEEP: Final = text("""
INSERT INTO outbox_imports (source, row_id, event_id, fault, run)
VALUES (CAST(:source AS regclass), :row_id, :event_id, :fault, :run)
ON CONFLICT (source, row_id) DO UPDATE
SET event_id = excluded.event_id, fault = excluded.fault, run = excluded.run, tried_at = now()
""")
_PARKED: Final = text("""
SELECT count(*) FROM outbox_imports JOIN outbox_parked ON outbox_parked.id = outbox_imports.event_id WHERE run = :run
""")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a row: an event, or the reason why there is none. A dry run has neither for an importable row."""

    row: OldRow
    event_id: EventId | None = None
    fault: str | None = None


@dataclass
class Summary:
    """The number of rows that became events, or would in a dry run; the number of refused rows by reason, and some of
    their ids.
    """

    imported: int = 0
    parked: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        if outcome.fault is None:
            self.imported += 1
            return
        self.refused[outcome.fault] += 1
        examples = self.examples.setdefault(outcome.fault, [])
        if len(examples) < EXAMPLES:
            examples.append(outcome.row.id)


class Import:
    """One run of the import. `outbox_imports` has its results, written in the transaction that tracks the event.

    A refused row is tried again by a later run, not by this one. All methods may raise DBAPIError.
    """

    def __init__(self, connection: Connection, old: OldTable, *, user_id_prefix: str = "") -> None:
        self._connection: Final = connection
        self._old: Final = old
        self._prefix: Final = user_id_prefix
        self._run: Final = uuid4()
        columns: list[ColumnClause[Any]] = [column(one.name) for one in old.relation.columns]
        self._table: Final = table(old.relation.name, *columns, schema=old.relation.schema)
        self._key: Final = self._table.c[old.columns["id"].name]
        with connection.begin():
            self.migrated: Final = bool(connection.scalar(_READY))
            quoted = func.format("%I.%I", old.relation.schema, old.relation.name)
            self._source: Final = connection.scalar(select(quoted))
        self.summary: Final = Summary()

    def count(self) -> int:
        """Return how many rows wait to be imported."""
        with self._connection.begin():
            return self._connection.scalar(select(func.count()).select_from(self._waiting().subquery())) or 0

    def look(self) -> Iterator[int]:
        """Read every row without writing, and yield 1 after each."""
        with self._connection.begin():
            for row in self._connection.execute(self._waiting(), execution_options={"yield_per": BATCH}):
                self.summary.add(self._outcome(OldRow(*row), apply=False))
                yield 1

    def track(self, *, mark: bool) -> Iterator[int]:
        """Track the rows, and yield after each batch the number of its rows.

        With *mark* the rows that became events are also marked as processed for the old worker, in the same
        transaction.
        """
        tracked = True
        while tracked and (keys := self._page()):
            tracked = False
            for start in range(0, len(keys), BATCH):
                outcomes = self._batch(keys[start : start + BATCH], mark=mark)
                for outcome in outcomes:
                    self.summary.add(outcome)
                # If no row of a page was left, another import processes this page, and continues.
                tracked = tracked or bool(outcomes)
                yield len(keys[start : start + BATCH])
        with self._connection.begin():
            self.summary.parked = self._connection.scalar(_PARKED, {"run": self._run}) or 0

    def _page(self) -> Sequence[Any]:
        with self._connection.begin():
            return self._connection.scalars(self._waiting().with_only_columns(self._key).limit(PAGE)).all()

    def _waiting(self) -> Select[Any]:
        roles, columns = self._old.columns, self._table.c
        created = columns[roles["created"].name]
        texts = [cast(columns[one.name], String) for one in (roles["id"], roles["type"], roles["payload"])]
        # Each column gets its own name: one column may have two roles, and a subquery needs distinct names. Python has
        # neither `infinity` nor years before 1: such a time is read as null, but the payload may have one.
        readable = case((extract("year", created).between(1, 9999), created))
        rows = select(*(one.label(f"c{number}") for number, one in enumerate((self._key, *texts, readable))))
        if role := roles.get("processed"):
            processed = columns[role.name]
            rows = rows.where(processed.is_not(true()) if role.is_flag else processed.is_(None))
        if self.migrated:
            same = (_IMPORTS.source == cast(self._source, REGCLASS), _IMPORTS.row_id == cast(self._key, String))
            done = or_(_IMPORTS.event_id.is_not(None), _IMPORTS.run == self._run)
            rows = rows.where(~exists().where(*same, done))
        return rows.order_by(created.asc().nulls_first(), self._key)

    def _batch(self, keys: Sequence[Any], *, mark: bool) -> Sequence[Outcome]:
        for tries_left in reversed(range(TRIES)):
            try:
                with self._connection.begin():
                    return self._track_rows(keys, mark=mark)
            except OperationalError as error:
                if not tries_left or getattr(error.orig, "sqlstate", None) not in DEADLOCKS:
                    raise
        return ()

    def _track_rows(self, keys: Sequence[Any], *, mark: bool) -> Sequence[Outcome]:
        self._connection.execute(_ALONE)
        waiting = self._waiting().where(self._key.in_(keys))
        if mark:
            # The lock waits for rows that the old worker is processing, and then checks their condition again.
            waiting = waiting.with_for_update(of=self._table)
        outcomes = [self._outcome(OldRow(*row), apply=True) for row in self._connection.execute(waiting).all()]
        if outcomes:
            run = {"source": self._source, "run": self._run}
            results = [{"row_id": one.row.id, "event_id": one.event_id, "fault": one.fault} for one in outcomes]
            self._connection.execute(_KEEP, [run | result for result in results])
        if mark:
            self._mark([outcome.row.key for outcome in outcomes if outcome.fault is None])
        return outcomes

    def _mark(self, keys: Sequence[Any]) -> None:
        if processed := self._old.columns.get("processed"):
            now = func.timezone("UTC", func.now()) if processed.is_naive else func.now()
            value = true() if processed.is_flag else now
            rows = update(self._table).where(self._key.in_(keys))
            self._connection.execute(rows.values({processed.name: value}))

    def _outcome(self, row: OldRow, *, apply: bool) -> Outcome:
        try:
            happened = read_row(row, self._prefix)
            if not apply:
                return Outcome(row)
            # The savepoint keeps the batch if the database refuses a row.
            with self._connection.begin_nested():
                event_id = track_event(self._connection, happened.type, happened.event, occurred_at=happened.at)
        except (DataError, IntegrityError) as error:
            return Outcome(row, fault=str(error.orig).splitlines()[0])
        except Unimportable as error:
            return Outcome(row, fault=str(error))
        return Outcome(row, event_id)
