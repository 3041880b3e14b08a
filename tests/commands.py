"""Running a command of ours as a person does: a process, its exit code and what it printed."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

from tests.forked import forks

OURS = (
    "DATABASE_URL",
    "KAFKA_",
    "HUBSPOT_",
    "CONSUMER_",
    "PRODUCER_",
    "CONSOLE_",
    "OUTBOX_",
    "DEAD_LETTER_LIMIT",
    "LOG_LEVEL",
)


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int | None
    output: str
    errors: str


async def run(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    """Run `python -m module arguments` with none of our settings but those of *environment*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    own = {**inherited, **(environment or {}), "COLUMNS": "120", "NO_COLOR": "1"}
    async with asyncio.timeout(60):
        return Done(*await forks.run(module, arguments, own))
