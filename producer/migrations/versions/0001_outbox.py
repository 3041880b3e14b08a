"""The outbox and `track_lifecycle_event`."""

from pathlib import Path
from typing import Final

from alembic import context, op

from producer.signals import ASLEEP_LOCK, CHANNEL

revision: Final = "0001"
down_revision: Final = None

FILES: Final = ("0001_tables.sql", "0001_contact_key.sql", "0001_functions.sql")


def upgrade() -> None:
    for name in FILES:
        _run((Path(__file__).parent / name).read_text())


def downgrade() -> None:
    raise NotImplementedError("dropping the outbox would lose the events in it: do it by hand if you mean it")


def _run(statements: str) -> None:
    statements = statements.replace("{asleep_lock}", str(ASLEEP_LOCK)).replace("{channel}", CHANNEL)
    if context.is_offline_mode():
        op.get_context().impl.static_output(statements)
    else:
        # As they stand: SQLAlchemy would read `:MI` and `%s` in them as parameters.
        op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)
