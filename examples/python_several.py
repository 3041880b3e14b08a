"""Rewards of two contacts, and their events, in one transaction that deadlocks with no other."""

import os
from datetime import UTC, datetime

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

from producer import track_events

engine = create_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg"))

with Session(engine) as db:
    db.execute(text("INSERT INTO rewards (user_id, amount_cents) VALUES ('usr_42', 500), ('usr_43', 500)"))
    event_ids = track_events(
        db,
        [
            (
                "nova_earned",
                {
                    "user_id": user,
                    "amount_cents": 500,
                    "session_id": "ses_1",
                    "new_balance_cents": 3500,
                    "earned_at": datetime.now(UTC),
                },
            )
            for user in ("usr_42", "usr_43")
        ],
    )
    db.commit()

print(*event_ids, sep="\n")
