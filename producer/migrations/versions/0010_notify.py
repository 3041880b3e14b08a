"""Notifications can be turned off, for two-phase commit; and relays may read the newest position from the sequence."""

from typing import Final

from producer.migrations import run

revision: Final = "0010"
down_revision: Final = "0009"


def upgrade() -> None:
    run("0010_notify.sql")
