"""The stop signal: heard at once, and the last word where a library hangs."""

import asyncio
import signal
import sys

import pytest

PROGRAM = """
import asyncio, time
from runtime.commands import stop_signal

async def work():
    stop = stop_signal({argument})
    print("ready", flush=True)
    await stop.wait()
    print("told", flush=True)
    {then}

asyncio.run(work())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_that_hangs_after_the_signal_ends_with_0_when_its_time_is_up(number: signal.Signals) -> None:
    process = await started("exit_within_s=0.2", "time.sleep(60)")

    process.send_signal(number)

    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert output == b"told\n"
    assert process.returncode == 0


async def test_a_process_whose_work_goes_wrong_after_the_signal_ends_as_its_work_does() -> None:
    process = await started("exit_within_s=60", "raise SystemExit(3)")

    process.send_signal(signal.SIGTERM)

    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert output == b"told\n"
    assert process.returncode == 3


async def started(argument: str, then: str) -> asyncio.subprocess.Process:
    """Return a process that listens to signals by now."""
    program = PROGRAM.format(argument=argument, then=then)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
    return process
