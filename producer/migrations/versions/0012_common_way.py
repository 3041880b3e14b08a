"""The common way of an event is one statement, and a contact takes it again after an event that went the longer way."""

from typing import Final

from producer.migrations import run

revision: Final = "0012"
down_revision: Final = "0011"


def upgrade() -> None:
    run("0012_common_way.sql")
