"""A reward and its event in one transaction, with psycopg alone: nothing of this project is imported."""

import os
from datetime import UTC, datetime

import psycopg
from psycopg.types.json import Jsonb

with psycopg.connect(os.environ["DATABASE_URL"]) as db:  # commits the reward and its event at its end, or neither
    db.execute("INSERT INTO rewards (user_id, amount_cents) VALUES (%s, %s)", ["usr_42", 500])
    payload = {
        "user_id": "usr_42",
        "amount_cents": 500,
        "session_id": "ses_1",
        "new_balance_cents": 3500,
        "earned_at": datetime.now(UTC).isoformat(),
    }
    tracked = db.execute("SELECT track_lifecycle_event(%s, %s)", ["nova_earned", Jsonb(payload)]).fetchone()

print(*tracked or ())
