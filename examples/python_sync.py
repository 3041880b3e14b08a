"""A reward and its event in one transaction, with SQLAlchemy."""

import os
from datetime import UTC, datetime

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

from producer import track_event

engine = create_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg"))

with Session(engine) as db:
    db.execute(
        text("INSERT INTO rewards (user_id, amount_cents) VALUES (:user, :cents)"), {"user": "usr_42", "cents": 500}
    )
    event_id = track_event(
        db,
        "nova_earned",
        {
            "user_id": "usr_42",
            "amount_cents": 500,
            "session_id": "ses_1",
            "new_balance_cents": 3500,
            "earned_at": datetime.now(UTC),
        },
    )
    db.commit()  # the reward and its event, or neither

print(event_id)
