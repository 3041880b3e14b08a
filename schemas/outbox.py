"""The locks, the channel and the name by which the outbox's writers, relays and migrations know each other.

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

MIGRATION_LOCK: Final = 0x6E65_7261_7661_0003

RELAY_NAME: Final = "nerava-relay"
"""The application_name of each relay's connection, including standbys."""
