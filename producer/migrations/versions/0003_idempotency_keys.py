"""The idempotency keys of the intake, with the events that they brought."""

from typing import Final

from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"

# Written in the transaction that writes the events; forgotten after a day by the intake.
KEYS: Final = """
CREATE TABLE outbox_idempotency_keys (
    key text COLLATE "C" PRIMARY KEY,
    fingerprint bytea NOT NULL,
    ids uuid[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
)
"""
BY_AGE: Final = "CREATE INDEX outbox_idempotency_keys_by_age ON outbox_idempotency_keys (created_at)"


def upgrade() -> None:
    op.execute(KEYS)
    op.execute(BY_AGE)
