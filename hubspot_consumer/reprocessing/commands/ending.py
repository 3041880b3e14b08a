"""The ending: how a command that goes on for long comes to its exit code, whatever ends it."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiokafka.errors import KafkaError

from hubspot_consumer.lag import UnequalPartitions
from hubspot_consumer.new_topic import TopicNotCreated
from hubspot_consumer.portal import WrongPortal
from hubspot_consumer.reprocessing.heard import TakenOver
from hubspot_consumer.reprocessing.held import CannotRead
from hubspot_consumer.reprocessing.holding import AnotherRun, TopicsMissing
from hubspot_consumer.reprocessing.report import TooManyRefused
from hubspot_consumer.reprocessing.run import AlreadyRunning, NoFolder, Run, UnfinishedRun
from runtime.commands import fail, refuse

INTERRUPTED: Final = 130
NICENESS: Final = 10


def open_run(folder: Path, name: str, asked: dict[str, Any], *, fresh: bool) -> Run:
    """Begin a run, or go on with it; exit with 2 where that can't be."""
    try:
        return Run.open(folder, name, asked, datetime.now(UTC), fresh=fresh)
    except (UnfinishedRun, NoFolder, AlreadyRunning) as error:
        refuse(str(error))


def run_to_its_end(work: Coroutine[Any, Any, int], name: str) -> int:
    """Run a command until it ends or is told to; return its exit code."""
    # What it folds in a second would be the live events' delay, where the workers are on the same machine.
    os.nice(NICENESS)
    try:
        return asyncio.run(_until_stopped(work, name))
    except Exception as error:
        match _cause(error):
            case WrongPortal() as cause:
                refuse(str(cause))
            case AnotherRun() | CannotRead() | TakenOver() | TooManyRefused() as cause:
                fail(str(cause) or "another process goes on with this run")
            case TopicsMissing() | TopicNotCreated() | UnequalPartitions() as cause:
                fail(str(cause))
            case KafkaError() | OSError() as cause:
                fail(f"KAFKA_BOOTSTRAP_SERVERS: no broker answers ({type(cause).__name__})")
        raise


async def _until_stopped(work: Coroutine[Any, Any, int], name: str) -> int:
    loop = asyncio.get_running_loop()
    running = loop.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        print(f"ended before its time: run the same {name} again, and it goes on from here", file=sys.stderr)
        return INTERRUPTED


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
