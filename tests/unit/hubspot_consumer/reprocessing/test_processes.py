"""Processes of a run: they end with the context, and with the process that began them."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.history.parallel_scan import Reading
from hubspot_consumer.history.processes import processes
from runtime.endings import CannotGoOn
from runtime.kafka.connection import KafkaConnection

LONG_S, WITHIN_S = 60, 30
BEGIN_ONE = f"""
import time
from hubspot_consumer.history.processes import processes
if __name__ == "__main__":
    with processes(1) as pool:
        print(pool.submit(__import__("os").getpid).result(), flush=True)
        pool.submit(time.sleep, {LONG_S}).result()
"""


def interrupted() -> Future[None]:
    """Return the work of a process whose context was interrupted."""
    with suppress(InterruptedError), processes(1) as pool:
        pool.submit(os.getpid).result()
        work = pool.submit(time.sleep, LONG_S)
        raise InterruptedError
    return work


def test_a_context_that_ends_with_an_exception_waits_for_no_process() -> None:
    began = time.monotonic()

    assert isinstance(interrupted().exception(), BrokenProcessPool)

    assert time.monotonic() - began < LONG_S
    assert not active_children()


def test_a_process_that_is_killed_ends_the_run_with_a_word_about_it() -> None:
    def killed() -> None:
        with processes(1) as pool:
            os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
            pool.submit(time.sleep, LONG_S).result()

    with pytest.raises(CannotGoOn, match="killed"):
        killed()


def test_a_process_ends_when_the_one_that_began_it_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "begins_one.py"
    program.write_text(BEGIN_ONE)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, env=os.environ | PATH) as began:
        assert began.stdout is not None
        child = int(began.stdout.readline())
        began.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + WITHIN_S
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)


PATH = {"PYTHONPATH": str(Path(__file__).parents[4])}


@given(st.sets(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 12)), min_size=1), st.integers(1, 4))
def test_parts_have_each_partition_once_and_all_of_one_number_together(
    places: set[tuple[str, int]], number: int
) -> None:
    partitions = [TopicPartition(*one) for one in places]

    parts = Reading(KafkaConnection.model_construct(), Path(), partitions, frozenset(), {}).parts(number)

    assert sorted(one for part in parts for one in part.partitions) == sorted(partitions)
    numbers = [{one.partition for one in part.partitions} for part in parts]
    assert sum(map(len, numbers)) == len(set().union(*numbers))
    assert max(map(len, numbers)) - min(map(len, numbers)) <= 1
