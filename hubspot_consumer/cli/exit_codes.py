"""The ending: how a command that goes on for long comes to its exit code, whatever ends it."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final

from aiokafka.errors import KafkaError

from runtime.commands import cause, fail, refuse
from runtime.endings import CannotGoOn, Misconfigured
from runtime.kafka.admission import ask_admission
from runtime.kafka.connection import KafkaConnection
from runtime.logs import logger

log = logger()

INTERRUPTED: Final = 130
NICENESS: Final = 10
NOBODY_READS: Final = 141


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
        match cause(error):
            case Misconfigured() as why:
                refuse(str(why))
            case CannotGoOn() as why:
                fail(str(why))
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
        again = f": run the same {name} again, and it goes on from here" if goes_on else ""
        print(f"ended before its time{again}", file=sys.stderr)
        return INTERRUPTED


def _nobody_reads() -> int:
    """Return what a program returns that `head` has seen enough of; Python would complain when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NOBODY_READS


def run_service(work: Coroutine[Any, Any, None]) -> None:
    """Run *work*; exit with 2 where a setting is wrong and with 1 where something else is, saying what."""
    try:
        asyncio.run(work)
    except Misconfigured as error:
        refuse(str(error))
    except CannotGoOn as error:
        fail(str(error))
    except Exception:
        log.exception("service.failed")
        raise SystemExit(1) from None
