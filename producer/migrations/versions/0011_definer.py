"""The functions that backends call run with the rights of their owner: a backend's role needs no right to a table."""

from typing import Final

from producer.migrations import run

revision: Final = "0011"
down_revision: Final = "0010"


def upgrade() -> None:
    run("0011_definer.sql")
