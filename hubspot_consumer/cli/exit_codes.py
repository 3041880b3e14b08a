"""Exit codes: how a command of the consumer comes to its own, whatever ends it."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final

from aiokafka.errors import KafkaError

from runtime.commands import INTERRUPTED, NOBODY_READS, cause, exit_for, fail
from runtime.endings import CannotGoOn
from runtime.kafka.admission import ask_admission
from runtime.kafka.connection import KafkaConnection

NICENESS: Final = 10


class NotDone(CannotGoOn):
    """A command can't do what it was asked for; the message says why."""


def run_to_its_end(work: Coroutine[Any, Any, int], name: str, kafka: KafkaConnection, *, goes_on: bool = True) -> int:
    """Run a command that reads from *kafka* until it ends or is told to; return its exit code.

    *goes_on*: run again, it goes on from there.
    """
    # What it folds in a second would be the live events' delay, where the workers are on the same machine.
    os.nice(NICENESS)
    try:
        code = asyncio.run(_until_stopped(_admitted(work, kafka), name, goes_on=goes_on))
        sys.stdout.flush()
    except Exception as error:
        exit_for(error)
        match cause(error):
            case BrokenPipeError():
                return _nobody_reads()
            case KafkaError() | OSError() as why:
                fail(f"KAFKA_BOOTSTRAP_SERVERS: no broker answers ({type(why).__name__})")
        raise
    return code


async def _admitted(work: Coroutine[Any, Any, int], kafka: KafkaConnection) -> int:
    try:
        await ask_admission(kafka.client_options())
        return await work
    finally:
        # Where it was not begun.
        work.close()


async def _until_stopped(work: Coroutine[Any, Any, int], name: str, *, goes_on: bool) -> int:
    loop = asyncio.get_running_loop()
    running = loop.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        again = f": run the same {name} again to continue" if goes_on else ""
        print(f"stopped before it was finished{again}", file=sys.stderr)
        return INTERRUPTED


def _nobody_reads() -> int:
    """Return what a program returns that `head` has seen enough of; Python would complain when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NOBODY_READS
