"""The relay's lock: the statements that take it, and say who holds it.

It is made of two advisory locks. The first has a number of its own, which a relay of an older version takes too. The
second belongs to the outbox's table: see docs/decisions/0063-who-holds-the-relays-lock.md.
"""

from typing import Final, NamedTuple

from schemas.outbox import OWN_SCHEMA, RELAY_LOCK, RELAY_NAME, RELAY_OF_A_TABLE, TABLE_LOCK, TABLE_OID

# A standby ends the connection of an active relay that was silent for this long. It exceeds the time for which an
# answer of the database keeps a relay active, so that the active relay has stopped publishing before.
SILENT_FOR_S: Final = 3.0

# Both or none: whoever can't take the second leaves the first to others.
TAKE: Final = f"""
WITH first AS MATERIALIZED (
    SELECT CASE WHEN {OWN_SCHEMA} THEN true ELSE pg_try_advisory_lock({RELAY_LOCK}) END AS taken),
second AS MATERIALIZED (SELECT CASE WHEN taken THEN pg_try_advisory_lock({TABLE_LOCK}) END AS taken FROM first)
SELECT second.taken IS TRUE, CASE WHEN NOT second.taken AND NOT {OWN_SCHEMA} THEN pg_advisory_unlock({RELAY_LOCK}) END
FROM second
"""  # noqa: S608 - the text contains no value

_HELD: Final = f"""
locktype = 'advisory' AND granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND ((objsubid = 1 AND classid::bigint = {RELAY_LOCK >> 32} AND objid::bigint = {RELAY_LOCK & 0xFFFF_FFFF}
        AND NOT {OWN_SCHEMA})
    OR (objsubid = 2 AND classid::bigint = {TABLE_OID} AND objid::bigint = {RELAY_OF_A_TABLE}))
"""  # noqa: S608 - the text contains no value

# The condition matches a connection that is idle or waits for its client. A long statement does not count as silence.
# PostgreSQL refuses to end the connection of a role whose rights this one has not: then nothing is silent.
DEPOSE: Final = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid IN (SELECT pid FROM pg_locks WHERE {_HELD}) AND pg_has_role(usesysid, 'USAGE')
AND (state <> 'active' OR wait_event_type = 'Client')
AND clock_timestamp() - state_change > make_interval(secs => {SILENT_FOR_S})
"""  # noqa: S608 - the text contains no value

# Every role may see these columns of every connection. A connection that waits for the lock has not got it.
HOLDER: Final = f"""
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''),
    application_name = '{RELAY_NAME}' AND has_table_privilege(usesysid, to_regclass('outbox_events'), 'DELETE')
FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE {_HELD}) AND pid <> pg_backend_pid()
ORDER BY 4, pid LIMIT 1
"""  # noqa: S608 - the text contains no value


class Holder(NamedTuple):
    """A connection that has the relay's lock. *may_be_a_relay* says whether it has a relay's name and rights."""

    pid: int
    role: str
    application_name: str
    may_be_a_relay: bool

    def __str__(self) -> str:
        return f"pid {self.pid}, role {self.role[:64]!r}, application_name {self.application_name[:64]!r}"
