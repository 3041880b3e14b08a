"""What is known of the outbox outside the producer: how to tell in the database whether a relay is active."""

from typing import Final

# Advisory locks are numbers, common to the whole database: "nerava" in ASCII, and a count.
RELAY_LOCK: Final = 0x6E65_7261_7661_0002
"""Held by the active relay's connection, for as long as it lives."""

RELAY_NAME: Final = "nerava-relay"
"""The application_name of each relay's connection, that of standbys too."""
