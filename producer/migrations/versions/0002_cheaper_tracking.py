"""`track_lifecycle_event` at half its cost, and `track_lifecycle_events` for several contacts."""

from typing import Final

from producer.migrations import run

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    run("0002_functions.sql")
    run("0002_several.sql")
