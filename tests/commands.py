"""Running a command of ours as a person does: a process, its exit code and what it printed."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryFile

from tests.forks import Forked, forked, program_of

OURS = (
    "DATABASE_URL",
    "RELAY_DATABASE_URL",
    "KAFKA_",
    "HUBSPOT_",
    "DOCTOR_",
    "CONSUMER_",
    "PRODUCER_",
    "CONSOLE_",
    "OUTBOX_",
    "DEAD_LETTER_LIMIT",
    "LOG_LEVEL",
    "AWS_",
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
    whole = {**inherited, **(environment or {}), "COLUMNS": "120", "NO_COLOR": "1"}
    command = [sys.executable, "-m", module, *arguments]
    with TemporaryFile() as output, TemporaryFile() as errors:
        if program := program_of(command, whole):
            process: Forked | asyncio.subprocess.Process = forked(
                program, command, whole, output=output.fileno(), errors=errors.fileno()
            )
        else:
            process = await asyncio.create_subprocess_exec(*command, env=whole, stdout=output, stderr=errors)
        try:
            code = await asyncio.wait_for(process.wait(), 60)
        except BaseException:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        output.seek(0)
        errors.seek(0)
        return Done(code, output.read().decode(), errors.read().decode())
