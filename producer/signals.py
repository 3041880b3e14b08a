"""How writers wake the relay, and how relays agree on who is active. The migration bakes these into the SQL function.

A NOTIFY in every transaction would serialise commits. So the relay, before it sleeps, takes ASLEEP_LOCK for itself;
a writer tries to share it, and only where it can't, which means that the relay sleeps, does it notify.
"""

from typing import Final

CHANNEL: Final = "outbox_events"

# Advisory locks are numbers, common to the whole database: "nerava" in ASCII, and a count.
ASLEEP_LOCK: Final = 0x6E65_7261_7661_0001
RELAY_LOCK: Final = 0x6E65_7261_7661_0002
MIGRATION_LOCK: Final = 0x6E65_7261_7661_0003
