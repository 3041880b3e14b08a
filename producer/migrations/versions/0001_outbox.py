"""The outbox and `track_lifecycle_event`."""

from typing import Final

from producer.migrations import run

revision: Final = "0001"
down_revision: Final = None

FILES: Final = ("0001_tables.sql", "0001_contact_key.sql", "0001_functions.sql")


def upgrade() -> None:
    for name in FILES:
        run(name)
