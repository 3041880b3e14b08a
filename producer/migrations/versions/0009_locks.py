"""A single event never keeps a contact locked that is another user's by now: it deadlocked with calls for several."""

from typing import Final

from producer.migrations import run

revision: Final = "0009"
down_revision: Final = "0008"


def upgrade() -> None:
    run("0009_locks.sql")
