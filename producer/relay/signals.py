"""The locks and the channel with which writers wake the relay. Migrations copy their values into the SQL functions.

A NOTIFY in every transaction would serialise commits. So the relay takes ASLEEP_LOCK exclusively before it sleeps. A
writer tries to share the lock, and sends a NOTIFY only if it can't, which means that the relay sleeps.
"""

from typing import Final

CHANNEL: Final = "outbox_events"

# These keys continue the series of schemas/outbox.py, in which 2 is the active relay's lock.
ASLEEP_LOCK: Final = 0x6E65_7261_7661_0001
MIGRATION_LOCK: Final = 0x6E65_7261_7661_0003
