"""The old worker's table: a search for it and its columns, by their names and types in the database."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sqlalchemy import Connection, text

Role = Literal["id", "type", "payload", "created", "processed"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

_TIMES: Final = ("timestamp with time zone", "timestamp without time zone")
_TEXTS: Final = ("text", "character varying", "character")
_JSONS: Final = ("json", "jsonb")
_NAMES: Final[Mapping[Role, tuple[str, ...]]] = {
    "id": ("id", "event_id", "uuid"),
    "type": ("event_type", "type", "event_name", "event", "name"),
    "payload": ("payload", "payload_json", "event_payload", "event_data", "data", "body"),
    "created": ("created_at", "created", "inserted_at", "queued_at", "timestamp"),
    "processed": ("processed_at", "processed", "is_processed", "sent_at", "sent", "is_sent", "synced_at", "synced"),
}
_TYPES: Final[Mapping[Role, tuple[str, ...] | None]] = {
    "id": None,
    "type": (*_TEXTS, "USER-DEFINED"),
    "payload": (*_JSONS, *_TEXTS),
    "created": _TIMES,
    "processed": (*_TIMES, "boolean"),
}
_MEANS: Final[Mapping[Role, str]] = {
    "id": "tells its rows apart",
    "type": "holds the event's type",
    "payload": "holds the payload, as JSON",
    "created": "holds the time that a row was made",
    "processed": "holds the time, or the flag, that a row was processed",
}
# Our tables without the column aggregateid, by which the others are recognised. The old table may have any name.
_OURS: Final = (
    *("outbox_contacts", "outbox_directory", "outbox_parked", "outbox_imports", "outbox_idempotency_keys"),
    "outbox_alembic_version",
)

_COLUMNS: Final = text("""
SELECT table_schema, table_name, table_type = 'BASE TABLE', column_name, data_type, EXISTS (
    SELECT FROM information_schema.table_constraints JOIN information_schema.key_column_usage AS keys
        USING (constraint_schema, constraint_name)
    WHERE constraint_type = 'PRIMARY KEY' AND keys.table_schema = columns.table_schema
        AND keys.table_name = columns.table_name AND keys.column_name = columns.column_name)
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
    AND (table_name LIKE '%outbox%' OR table_name = :name) ORDER BY table_schema, table_name, ordinal_position
""")


class Unclear(RuntimeError):
    """The table or a column can't be determined. The message lists the candidates, and the option that names one."""


@dataclass(frozen=True)
class Column:
    name: str
    kind: str
    key: bool = False

    @property
    def is_flag(self) -> bool:
        return self.kind == "boolean"

    @property
    def is_naive(self) -> bool:
        """Whether the column has times without a zone, which are read as UTC."""
        return self.kind == "timestamp without time zone"


@dataclass(frozen=True)
class Relation:
    """A table or a view, as the database describes it."""

    schema: str
    name: str
    is_table: bool
    columns: tuple[Column, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_ours(self) -> bool:
        return self.name in _OURS or any(column.name == "aggregateid" for column in self.columns)


@dataclass(frozen=True)
class OldTable:
    """The columns to read from the old worker's table. `processed` is not among them if all rows count."""

    relation: Relation
    columns: Mapping[Role, Column]


def find_table(
    connection: Connection, name: str | None, columns: Mapping[Role, str | None], *, everything: bool = False
) -> OldTable:
    """Return the table that *name* and *columns* specify, otherwise the only possible one. Raises Unclear."""
    relations = list(_relations(connection, (name or "").rpartition(".")[2]))
    if name is not None:
        return _with_columns(_named(name, relations), columns, everything=everything)
    possible, unclear = [], []
    for relation in relations:
        if relation.is_table and not relation.is_ours:
            try:
                possible.append(_with_columns(relation, columns, everything=everything))
            except Unclear as error:
                unclear.append(str(error))
    match possible:
        case [only]:
            return only
        case []:
            raise Unclear("\n".join(unclear) or "no table has `outbox` in its name, but for our own: say --table")
    raise Unclear(f"which table is the old worker's: {', '.join(str(old.relation) for old in possible)}? Say --table")


def _relations(connection: Connection, name: str) -> Iterator[Relation]:
    found: dict[tuple[str, str, bool], list[Column]] = {}
    for schema, table, is_table, column, kind, key in connection.execute(_COLUMNS, {"name": name}):
        found.setdefault((schema, table, is_table), []).append(Column(column, kind, key))
    return (Relation(*described, tuple(columns)) for described, columns in found.items())


def _named(name: str, relations: Sequence[Relation]) -> Relation:
    found = [relation for relation in relations if name in (relation.name, str(relation))]
    match found:
        case []:
            raise Unclear(f"--table: there is no {name}")
        case [only] if not only.is_ours:
            return only
        case [_]:
            raise Unclear(f"--table: {name} is not a table of the old worker: it belongs to the present outbox")
    raise Unclear(f"--table: there are {' and '.join(map(str, found))}: say which")


def _with_columns(relation: Relation, named: Mapping[Role, str | None], *, everything: bool) -> OldTable:
    roles = [role for role in ROLES if not (everything and role == "processed")]
    return OldTable(relation, {role: _column(relation, role, named.get(role)) for role in roles})


def _column(relation: Relation, role: Role, name: str | None) -> Column:
    kinds, option = _TYPES[role], f"--{role}-column"
    suiting = [column for column in relation.columns if kinds is None or column.kind in kinds]
    if name is not None:
        if chosen := [column for column in suiting if column.name == name]:
            return chosen[0]
        listed = ", ".join(f"{column.name} ({column.kind})" for column in suiting) or "none"
        raise Unclear(f"{option}: {relation} has no {name} that could be it; those that could: {listed}")
    possible = [column for column in suiting if column.name in _NAMES[role]]
    match role:
        case "id":
            possible = [column for column in suiting if column.key] or possible
        case "payload":
            possible = possible or [column for column in suiting if column.kind in _JSONS]
    if len(possible) == 1:
        return possible[0]
    if possible:
        which = " or ".join(column.name for column in possible)
        raise Unclear(f"{relation}: which column {_MEANS[role]}: {which}? Say {option}")
    there = ", ".join(column.name for column in relation.columns)
    every = ", or --all to take every row" if role == "processed" else ""
    raise Unclear(f"{relation}: no column {_MEANS[role]}, by its name; there are {there}. Say {option}{every}")
