"""What became of the old worker's rows: see producer/old_outbox."""

from typing import Final

from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"

# The table by its identity, which a new name leaves as it is.
IMPORTS: Final = """
CREATE TABLE outbox_imports (
    source regclass NOT NULL,
    row_id text NOT NULL,
    event_id uuid,
    fault text,
    run uuid NOT NULL,
    tried_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, row_id),
    CONSTRAINT outbox_imports_event_or_fault CHECK ((event_id IS NULL) <> (fault IS NULL))
)
"""


def upgrade() -> None:
    op.execute(IMPORTS)
