"""Whether the database accepts new connections: the established ones last while a changed password refuses others."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import psycopg

from runtime.database import Url, require_schema, why_refused
from runtime.health import Health

# A server that has no free connection for a moment is no reason to be unwell.
REFUSALS: Final = 2
ANSWER_WITHIN_S: Final = 10.0


class NewConnections:
    """Reports as *part* of *health* that new connections are refused, with the cause. *setting* has their URL."""

    def __init__(self, health: Health, part: str, setting: str) -> None:
        self._health: Final = health
        self._part: Final = part
        self._setting: Final = setting
        self._refusals = 0

    async def look(self, url: Url, options: Mapping[str, Any]) -> None:
        """Connect, and report whether the database accepted it."""
        try:
            async with (
                asyncio.timeout(ANSWER_WITHIN_S),
                await psycopg.AsyncConnection.connect(url(), autocommit=True, **options) as connection,
            ):
                # A pooler accepts a client before it has a connection to the database.
                await connection.execute("SELECT 1", prepare=False)
                await require_schema(connection)
        except TimeoutError:
            self.refused(psycopg.OperationalError(f"no answer within {ANSWER_WITHIN_S:g} s"))
        except psycopg.Error as error:
            self.refused(error)
        else:
            self.made()

    def made(self) -> None:
        self._refusals = 0
        self._health.well(self._part)

    def refused(self, error: psycopg.Error) -> None:
        self._refusals += 1
        if self._refusals >= REFUSALS:
            self._health.ill(self._part, f"new connections are refused: {why_refused(error, self._setting)}")
