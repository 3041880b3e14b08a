"""Bounds at the SQL function's door: the length of user_id and email, and the years of occurred_at."""

from typing import Final

from producer.migrations import run

revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    run("0007_bounds.sql")
