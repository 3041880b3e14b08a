"""A reward and its event in one transaction, with SQLAlchemy's asynchronous session."""

import asyncio
import os
from datetime import UTC, datetime

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from producer import EventId, track_event


async def reward(db: AsyncSession, user: str, cents: int) -> EventId:
    await db.execute(
        text("INSERT INTO rewards (user_id, amount_cents) VALUES (:user, :cents)"), {"user": user, "cents": cents}
    )
    return await track_event(
        db,
        "nova_earned",
        {
            "user_id": user,
            "amount_cents": cents,
            "session_id": "ses_1",
            "new_balance_cents": 3500,
            "earned_at": datetime.now(UTC),
        },
    )


async def main() -> None:
    engine = create_async_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg"))
    async with AsyncSession(engine) as db, db.begin():  # commits the reward and its event, or neither
        event_id = await reward(db, "usr_42", 500)
    await engine.dispose()
    print(event_id)


asyncio.run(main())
