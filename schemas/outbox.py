"""What the outbox's writers, relays, migrations and the doctor share: locks, a channel, a name, and a condition in SQL.

A NOTIFY in every transaction would serialise commits. So the relay takes ASLEEP_LOCK exclusively before it sleeps. A
writer tries to share the lock, and sends a NOTIFY only if it can't, which means that the relay sleeps. Migrations copy
the values of that lock and of the channel into the SQL functions.
"""

from typing import Final

CHANNEL: Final = "outbox_events"

# Keys of advisory locks are numbers, shared by the whole database: these are "nerava" in ASCII and a counter.
ASLEEP_LOCK: Final = 0x6E65_7261_7661_0001
RELAY_LOCK: Final = 0x6E65_7261_7661_0002
"""Advisory lock of the active relay's connection, held for as long as that is open."""

RELAY_OF_A_TABLE: Final = 2
"""The second part of the advisory lock that belongs to an outbox's table. The first is the table's oid."""

TABLE_OID: Final = "to_regclass('outbox_events')::oid::bigint"

TABLE_LOCK: Final = f"({TABLE_OID})::bit(32)::int, {RELAY_OF_A_TABLE}"
"""Both parts of that lock, in SQL: the oid in the signed 32 bits that the functions take."""

MIGRATION_LOCK: Final = 0x6E65_7261_7661_0003

OWN_SCHEMA: Final = "coalesce(current_setting('nerava.schema', true), '') <> ''"
"""Whether OUTBOX_SCHEMA chose one of the database's outboxes. Then RELAY_LOCK, which all of them share, is not taken:
the lock that belongs to the table is enough.
"""

ASLEEP: Final = f"""CASE WHEN {OWN_SCHEMA}
    THEN hashtextextended('nerava outbox ' || current_setting('nerava.schema'), 0) ELSE {ASLEEP_LOCK} END"""
"""ASLEEP_LOCK, or that of the schema: in SQL, for relays and for migrations, which copy its value."""

RELAY_NAME: Final = "nerava-relay"
"""The application_name of the connection by which a relay takes its lock, or stands by."""

DELETING_NAME: Final = f"{RELAY_NAME}-deletes"
WATCH_NAME: Final = f"{RELAY_NAME}-watch"

ROWS_MAY_BE_HIDDEN: Final = """row_security_active(to_regclass('outbox_events')) AND NOT coalesce((
    SELECT bool_and(polpermissive) AND bool_or(every AND polcmd IN ('*', 'r'))
        AND bool_or(every AND polcmd IN ('*', 'd'))
    FROM pg_policy CROSS JOIN LATERAL (SELECT pg_get_expr(polqual, polrelid) = 'true' AS every) AS found
    WHERE polrelid = to_regclass('outbox_events') AND (0 = ANY(polroles) OR EXISTS (
        SELECT FROM pg_roles WHERE oid = ANY(polroles) AND pg_has_role(oid, 'USAGE')))
), false)"""
"""Whether row-level security, which is silent, may hide rows from this role: its policies do not let it read and delete
every row.
"""
