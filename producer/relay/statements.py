"""What the relay asks of the outbox: the statements, in SQL."""

from typing import Final

from schemas.outbox import ASLEEP, CHANNEL, ROWS_MAY_BE_HIDDEN

# The condition is not `position > the last seen`: positions become visible in the order of commits, not in their own
# order. No further row can appear before the position `first`; with it the database skips the dead rows that the relay
# leaves behind.
HEAD: Final = """
WITH head AS MATERIALIZED (
    SELECT position, id::text, aggregateid, type, sequence, payload::text AS value, traceparent FROM outbox_events
    WHERE position >= %(first)s AND position <> ALL(%(without)s::bigint[]) ORDER BY position LIMIT %(rows)s
), measured AS (
    SELECT *, coalesce(sum(coalesce(octet_length(value), 0) + coalesce(octet_length(aggregateid), 0)
            + coalesce(octet_length(traceparent), 0) + octet_length(type))
        OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM head
)
SELECT position, id, aggregateid, type, sequence, value, traceparent FROM measured
WHERE before <= %(octets)s ORDER BY position
"""

DELETE: Final = "DELETE FROM outbox_events WHERE position = ANY(%s::bigint[])"

KEEP: Final = f"""
WITH published AS ({DELETE} RETURNING *)
INSERT INTO outbox_published
    (position, id, aggregatetype, aggregateid, type, sequence, payload, traceparent, created_at)
SELECT position, id, aggregatetype, aggregateid, type, sequence, payload, traceparent, created_at FROM published
"""  # noqa: S608 - the text contains no value

# Each run deletes at most 5,000 rows, because it shares a connection with the relay's deletions.
FORGET: Final = """
DELETE FROM outbox_published WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM outbox_published WHERE published_at < now() - make_interval(secs => %s)
    ORDER BY published_at LIMIT 5000))
"""

# A transaction that inserts a row locks the table before it takes a position, and until its end. So the position is
# read first, and the question about locks depends on it. The sequence tells the newest position without passing dead
# rows, unless it gives positions ahead of their use (seqcache).
WRITERS: Final = """
WITH newest AS MATERIALIZED (SELECT (
    SELECT CASE WHEN seqcache = 1 AND seqincrement > 0 AND has_sequence_privilege(seqrelid, 'SELECT')
        THEN coalesce(pg_sequence_last_value(seqrelid), 0) END
    FROM pg_sequence WHERE seqrelid = to_regclass(pg_get_serial_sequence('outbox_events', 'position'))) AS position
)
SELECT coalesce(position, (SELECT max(position) FROM outbox_events), 0), position IS NOT NULL, array(
    SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE relation = 'outbox_events'::regclass AND mode = 'RowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND newest.position IS DISTINCT FROM -1)
FROM newest
"""

# The start of the server distinguishes sessions on several hosts, which may have the same pid.
WHO: Final = "SELECT pg_backend_pid(), pg_postmaster_start_time()::text"

LOOK: Final = f"SELECT to_regclass('outbox_published') IS NOT NULL, {ROWS_MAY_BE_HIDDEN}, pg_backend_pid()"

# A time that somebody has set to infinity has no age.
BACKLOG: Final = """
WITH waiting AS MATERIALIZED (
    SELECT position, created_at FROM outbox_events WHERE position >= %(first)s ORDER BY position LIMIT %(most)s
)
SELECT count(*), min(position), coalesce((
    SELECT CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::float END
    FROM waiting ORDER BY position LIMIT 1), 0)
FROM waiting
"""

FALL_ASLEEP: Final = f"SELECT pg_try_advisory_lock({ASLEEP})"
WAKE_UP: Final = f"SELECT pg_advisory_unlock({ASLEEP})"

# What a role or a database may have set otherwise. PostgreSQL 13 has no idle_session_timeout. A relay that is
# serializable makes transactions of the backend fail that are.
SESSION: Final = """
SELECT set_config(name, CASE name WHEN 'idle_session_timeout' THEN '0' ELSE 'read committed' END, false)
FROM pg_settings WHERE name IN ('idle_session_timeout', 'default_transaction_isolation')
"""
LISTEN: Final = f"LISTEN {CHANNEL}"
