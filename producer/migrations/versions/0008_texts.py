"""Bounds of every text at the SQL function's door, and rows that were inserted by hand: they abort no transaction."""

from typing import Final

from producer.migrations import run

revision: Final = "0008"
down_revision: Final = "0007"


def upgrade() -> None:
    run("0008_texts.sql")
