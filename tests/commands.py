"""Running a command of ours as a person does: a process, its exit code and what it printed."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

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
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        env={**inherited, **(environment or {}), "COLUMNS": "120", "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    return Done(process.returncode, output.decode(), errors.decode())
