"""The table of published events, for those who keep them for a while."""

from typing import Final

from producer.migrations import run

revision: Final = "0005"
down_revision: Final = "0004"


def upgrade() -> None:
    run("0005_published.sql")
