"""A process of the sandbox ends with its owner."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from sandbox.processes import Process, _ends_with_its_owner
from tests.polling import eventually

OWNER = """
import signal, sys, time
from pathlib import Path
from sandbox.processes import Process

# Whoever runs the tests may ignore it, as a shell does for what runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
owned = Process("owned", Path(sys.argv[1]))
owned.start(["sleep", "1000"])
# Before that, what ends it with its owner may not have been set up.
while Path(f"/proc/{owned.pid}/comm").read_text() != "sleep\\n":
    time.sleep(0.01)
print(owned.pid, flush=True)
time.sleep(1000)
"""


def runs(pid: int) -> bool:
    """Return whether a process is there, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def ends(pid: int) -> None:
    """Wait until a process is there no more."""

    async def is_over() -> bool:
        return not runs(pid)

    await eventually(is_over, saying="the process is over")


@pytest.mark.skipif(not _ends_with_its_owner(), reason="util-linux has it, on Linux alone")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_process_ends_with_its_owner_however_that_ends(tmp_path: Path, how: signal.Signals) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OWNER,
        str(tmp_path / "log"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert owner.stdout is not None
    owned = int(await owner.stdout.readline())
    assert runs(owned)

    owner.send_signal(how)
    await owner.wait()

    await ends(owned)


@pytest.mark.skipif(not _ends_with_its_owner(), reason="util-linux has it, on Linux alone")
async def test_a_suspended_process_ends_with_its_owner_too(tmp_path: Path) -> None:
    suspended = OWNER.replace("print(", "owned.send(signal.SIGSTOP)\nprint(")
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", suspended, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    owned = int(await owner.stdout.readline())

    owner.kill()
    await owner.wait()

    await ends(owned)


async def test_the_exit_code_of_a_process_is_its_own(tmp_path: Path) -> None:
    process = Process("three", tmp_path / "log")
    process.start(["sh", "-c", "exit 3"])

    assert await process.stop(signal.SIGCONT) == 3
