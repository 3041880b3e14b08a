"""`make demo` and Ctrl-C: whenever it comes, no process and no file is left; and the console opens when asked."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from runtime.commands import INTERRUPTED, NOBODY_READS
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

MARK = "NERAVA_TEST_DEMO"
DEMO = (sys.executable, "-m", "sandbox", "demo", "--events", "300")


class Played:
    """A demo in *folder*, as a terminal starts it: it leads its processes, and heeds Ctrl-C."""

    def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._printed = folder / "printed"
        self._mark = uuid4().hex
        self.sandbox = folder / ".sandbox"
        with self._printed.open("wb") as output:
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                stdout=output,
                stderr=output,
                env={**os.environ, MARK: self._mark, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **environment},
                process_group=0,
                # A job in the background of a shell without job control ignores Ctrl-C, and so would the demo.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
            )

    @property
    def text(self) -> str:
        return self._printed.read_text()

    async def says(self, words: str) -> None:
        async def said() -> bool:
            assert words in self.text or self._process.poll() is None, self.text
            return words in self.text

        await eventually(said, within_s=120, saying=f"the demo says {words!r}")

    async def interrupted(self) -> int:
        """Press Ctrl-C, which reaches every process of the terminal's group, and return the exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        return await self.ended()

    async def ended(self) -> int:
        return await asyncio.to_thread(self._process.wait, 60)

    def left(self) -> list[str]:
        """Return the commands of the processes that the demo has started and that still run."""
        return [command for pid, command in _marked(self._mark) if pid != self._process.pid]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pid, _ in _marked(self._mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> list[tuple[int, str]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((int(folder.name), (folder / "cmdline").read_text().replace("\0", " ")))
    return found


MOMENTS = [
    "a HubSpot simulator start",
    "making a PostgreSQL database",
    "starting Kafka",
    "starting the producer",
    "HubSpot is down",
]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, moment: str) -> None:
    played = Played(tmp_path, DEMO, {})
    try:
        await played.says(moment)
        code = await played.interrupted()

        assert code == INTERRUPTED, played.text
        assert "Traceback" not in played.text
        assert "nothing is left running" in played.text
        assert played.left() == []
        assert not played.sandbox.exists()
    finally:
        played.close()


async def test_a_reader_who_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    played = Played(tmp_path, ["bash", "-o", "pipefail", "-c", f"{' '.join(DEMO)} | head -1"], {})
    try:
        assert await played.ended() == NOBODY_READS, played.text
        assert "Traceback" not in played.text
        assert played.left() == []
        assert not played.sandbox.exists()
    finally:
        played.close()


@pytest.mark.chaos
async def test_a_kept_demo_opens_the_console_and_ends_well_with_ctrl_c(tmp_path: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" >"{opened}"\n')
    browser.chmod(0o755)
    played = Played(tmp_path, [*DEMO, "--open"], {"BROWSER": f"{browser} %s"})
    try:
        await played.says("Three things to look at")

        async def asked() -> bool:
            return opened.exists() and opened.read_text() != ""

        await eventually(asked, saying="the browser is asked for the console")
        assert f"console: {opened.read_text().strip()}," in played.text
        assert await played.interrupted() == 0, played.text
        assert played.left() == []
        assert not played.sandbox.exists()
    finally:
        played.close()
