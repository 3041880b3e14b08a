"""Exit codes: the exit code of a consumer command for every way in which it can end."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from aiokafka.errors import KafkaError

from runtime.commands import INTERRUPTED, NOBODY_READS, cause, exit_for, fail
from runtime.endings import CannotGoOn
from runtime.kafka.admission import ask_admission
from runtime.kafka.connection import KafkaConnection

NICENESS: Final = 10

Work = Callable[[], Awaitable[int]]
"""The work of a command, which returns the exit code."""


class NotDone(CannotGoOn):
    """A command can't do what its options request; the message gives the reason."""


def run_to_its_end(work: Work, name: str, kafka: KafkaConnection | None, *, goes_on: bool = True) -> NoReturn:
    """Run a command that reads from *kafka* until it ends or gets SIGTERM or SIGINT; exit with its exit code.

    *kafka* is None for a command that can do without it. *goes_on* is True if the same command, run again after a stop,
    continues.
    """
    # Projecting events uses a whole CPU: at normal priority it would delay workers on the same machine.
    os.nice(NICENESS)
    try:
        code = asyncio.run(_until_stopped(work, name, kafka, goes_on=goes_on))
        sys.stdout.flush()
    except Exception as error:
        exit_for(error)
        match cause(error):
            case BrokenPipeError():
                # A pipe, such as one to `head`, is closed: Python would print an error at its exit otherwise.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise SystemExit(NOBODY_READS) from None
            case KafkaError() | OSError() as why:
                fail(f"KAFKA_BOOTSTRAP_SERVERS: no broker answers ({type(why).__name__})")
        raise
    raise SystemExit(code)


async def _until_stopped(work: Work, name: str, kafka: KafkaConnection | None, *, goes_on: bool) -> int:
    async def admitted() -> int:
        if kafka is not None:
            await ask_admission(kafka.client_options())
        return await work()

    loop = asyncio.get_running_loop()
    running = loop.create_task(admitted())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        again = f": run the same {name} again to continue" if goes_on else ""
        print(f"stopped before it was finished{again}", file=sys.stderr)
        return INTERRUPTED
