"""Constants of the outbox for other packages: they show in the database whether a relay is active."""

from typing import Final

# Keys of advisory locks are numbers, shared by the whole database: these are "nerava" in ASCII and a counter.
RELAY_LOCK: Final = 0x6E65_7261_7661_0002
"""Advisory lock of the active relay's connection, held for as long as that is open."""

RELAY_NAME: Final = "nerava-relay"
"""The application_name of each relay's connection, including standbys."""
