"""Processes: each does a part of a run that takes a whole CPU. They end when the process that began them ends."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import Final

from runtime.endings import CannotGoOn

_PARENT_GONE: Final = 1
# The limit bounds the memory of a run on a host with many CPUs: each process takes some 100 MB.
MOST_PROCESSES: Final = 4


def processes_for(work: int, worth_a_process: int) -> int:
    """Return how many processes to do *work* in; for less than *worth_a_process*, a second one starts too slowly."""
    return min(MOST_PROCESSES, os.cpu_count() or 1, 1 + work // worth_a_process)


@contextmanager
def processes(number: int) -> Iterator[ProcessPoolExecutor]:
    """Give *number* processes, which stop what they do if the context ends with an exception.

    Raises CannotGoOn when one of them was killed.
    """
    # The processes are spawned, not forked: this process has an event loop and connections.
    with ProcessPoolExecutor(number, get_context("spawn"), _end_with_parent) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise CannotGoOn(
                "a process of the run was killed, as for a lack of memory: run it again to continue"
            ) from error
        except BaseException:
            for process in active_children():
                process.terminate()
            raise


def _end_with_parent() -> None:
    # Ctrl-C reaches all processes of a terminal; the parent ends these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(_PARENT_GONE)
