"""How writers wake the relay. The migration bakes these into the SQL function.

A NOTIFY in every transaction would serialise commits. So the relay, before it sleeps, takes ASLEEP_LOCK for itself;
a writer tries to share it, and only where it can't, which means that the relay sleeps, does it notify.
"""

from typing import Final

CHANNEL: Final = "outbox_events"

# Of the numbers that schemas/outbox.py begins: 2 is the active relay's.
ASLEEP_LOCK: Final = 0x6E65_7261_7661_0001
MIGRATION_LOCK: Final = 0x6E65_7261_7661_0003
