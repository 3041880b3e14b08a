"""The statements of a migration: an SQL file beside it, with placeholders for the relay's lock and channel."""

from pathlib import Path
from typing import Final

from alembic import context, op

from schemas.outbox import ASLEEP_LOCK, CHANNEL

VERSIONS: Final = Path(__file__).parent / "versions"


def run(name: str, **values: str) -> None:
    """Run the file *name* with *values* for its placeholders, or print it if alembic makes a script."""
    statements = (VERSIONS / name).read_text()
    for place, value in {"asleep_lock": str(ASLEEP_LOCK), "channel": CHANNEL, **values}.items():
        statements = statements.replace(f"{{{place}}}", value)
    if context.is_offline_mode():
        op.get_context().impl.static_output(statements)
    else:
        # The statements are passed unchanged: SQLAlchemy would treat `:MI` and `%s` in them as parameters.
        op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)
