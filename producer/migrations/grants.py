"""What each role needs of the outbox, as SQL, and whether a backend's role can do more than track."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

TABLES: Final = (
    "outbox_events",
    "outbox_contacts",
    "outbox_directory",
    "outbox_parked",
    "outbox_published",
    "outbox_idempotency_keys",
    "outbox_imports",
    "outbox_alembic_version",
)
SEQUENCES: Final = ("outbox_events_position_seq", "outbox_parked_position_seq")
ENTRIES: Final = (
    "track_lifecycle_event(text, jsonb, timestamptz, text)",
    "track_lifecycle_events(jsonb)",
)

# The relay with its intake, and whoever only looks: the doctor and the console.
OF_RELAY: Final = (
    ("TABLE", "outbox_events", "SELECT, DELETE"),
    ("SEQUENCE", "outbox_events_position_seq", "SELECT"),
    ("TABLE", "outbox_published", "SELECT, INSERT, DELETE"),
    ("TABLE", "outbox_idempotency_keys", "SELECT, INSERT, UPDATE, DELETE"),
)
OF_CONSOLE: Final = tuple(
    ("TABLE", table, "SELECT") for table in ("outbox_events", "outbox_contacts", "outbox_directory", "outbox_parked")
)

# The functions run with the rights of their owner, who need not be a superuser.
OWNED: Final = """DO $$
DECLARE
    ours regprocedure;
BEGIN
    FOR ours IN SELECT oid FROM pg_proc WHERE pronamespace = {schema}::regnamespace
        AND (proname LIKE 'lifecycle\\_%' OR proname IN ('track_lifecycle_event', 'track_lifecycle_events'))
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', ours, {owner});
    END LOOP;
END $$"""

# What a backend's role can do beside tracking, by a way that is not ours to close.
CAN_MORE: Final = """
SELECT role.rolname, CASE
    WHEN role.rolsuper THEN 'is a superuser'
    WHEN pg_has_role(role.oid, outbox.relowner, 'MEMBER') THEN 'owns the outbox, or is a member of the role that does'
    WHEN has_schema_privilege(role.oid, outbox.relnamespace, 'CREATE')
        THEN 'may create objects in the schema of the outbox, and so replace what its functions call:'
            || ' REVOKE CREATE ON SCHEMA ' || outbox.relnamespace::regnamespace || ' FROM PUBLIC'
    ELSE 'has rights to ' || (
        SELECT string_agg(name, ', ' ORDER BY name) FROM unnest(%(tables)s::text[]) AS name
        CROSS JOIN LATERAL (SELECT outbox.relnamespace::regnamespace || '.' || name AS full_name) AS found
        WHERE has_table_privilege(role.oid, full_name, 'DELETE, TRUNCATE, TRIGGER')
            OR has_any_column_privilege(role.oid, full_name, 'SELECT, INSERT, UPDATE, REFERENCES'))
        || ' by another role that it is a member of' END
FROM pg_roles AS role JOIN pg_class AS outbox ON outbox.oid = %(outbox)s::regclass
WHERE role.rolname = ANY(%(backends)s)
"""


@dataclass(frozen=True)
class Roles:
    """Who does what. Each may be several roles; *owner* is the one that migrates."""

    backends: Sequence[str]
    relays: Sequence[str]
    consoles: Sequence[str] = ()
    owner: str | None = None

    @property
    def granted(self) -> Sequence[str]:
        return tuple(dict.fromkeys([*self.backends, *self.relays, *self.consoles]))


def grants(roles: Roles, schema: str) -> Iterator[str]:
    """Yield the statements that give each role what it needs, and take from it and from PUBLIC everything else."""
    place = _quoted(schema)
    tables, sequences, entries = (
        ", ".join(f"{place}.{name}" for name in names) for names in (TABLES, SEQUENCES, ENTRIES)
    )
    if roles.owner is not None:
        yield from _owned(roles.owner, schema)
    for entry in ENTRIES:
        yield f"ALTER FUNCTION {place}.{entry} SECURITY DEFINER SET search_path = pg_catalog, {place}, pg_temp"
    granted = ", ".join(map(_quoted, roles.granted))
    for objects in (f"TABLE {tables}", f"SEQUENCE {sequences}", f"FUNCTION {entries}"):
        yield f"REVOKE ALL ON {objects} FROM PUBLIC, {granted}"
    yield f"GRANT USAGE ON SCHEMA {place} TO {granted}"
    # The intake of a producer tracks too.
    tracking = ", ".join(map(_quoted, dict.fromkeys([*roles.backends, *roles.relays])))
    yield f"GRANT EXECUTE ON FUNCTION {entries} TO {tracking}"
    for several, rights in ((roles.relays, OF_RELAY), (roles.consoles, OF_CONSOLE)):
        for kind, name, privileges in rights if several else ():
            yield f"GRANT {privileges} ON {kind} {place}.{name} TO {', '.join(map(_quoted, several))}"


def _owned(owner: str, schema: str) -> Iterator[str]:
    yield f"GRANT USAGE, CREATE ON SCHEMA {_quoted(schema)} TO {_quoted(owner)}"
    for table in TABLES:
        yield f"ALTER TABLE {_quoted(schema)}.{table} OWNER TO {_quoted(owner)}"
    literals = {"schema": sql.Literal(_quoted(schema)), "owner": sql.Literal(owner)}
    yield sql.SQL(OWNED).format(**literals).as_string(None)


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def apply(connection: psycopg.Connection[Any], roles: Roles, schema: str) -> list[str]:
    """Run the statements in *connection*'s transaction. Return what roles of backends can do all the same, a line each.

    Raises psycopg.Error.
    """
    for statement in grants(roles, schema):
        connection.execute(statement.encode())
    given = {"tables": list(TABLES), "outbox": f"{_quoted(schema)}.outbox_events", "backends": list(roles.backends)}
    return [f"{role} {more}" for role, more in connection.execute(CAN_MORE, given) if more is not None]
