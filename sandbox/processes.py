"""A process that the sandbox starts: watched during its start, stopped by its pid, with its output in a file."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Final, Protocol

POLL_S: Final = 0.05
TAIL_LINES: Final = 20
# Systems use the ports above for outgoing connections, which could take such a port before its server listens on it.
PORTS: Final = range(10_000, 32_000)


class ProcessFailed(RuntimeError):
    """The process ended, or was not ready in time; the message ends with the tail of its log."""


class PortBusy(RuntimeError):
    """Another process already listens on the port, and would answer in place of ours."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free at the moment."""
    while True:
        port = random.choice(PORTS)  # noqa: S311 - the choice needs no secrecy
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listening(port: int) -> bool:
    """Return whether a process accepts connections on *port*."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def refuse_busy(port: int, what: str) -> None:
    """Raise PortBusy if a process listens on *port*."""
    if listening(port):
        raise PortBusy(f"{what} can't use port {port}: another process listens there. Choose another, or stop it")


@cache
def _ends_with_its_owner() -> Sequence[str]:
    """Return what to put before a command, so that the kernel kills it with its parent: util-linux has it."""
    words = ("setpriv", "--pdeathsig", "KILL")
    with contextlib.suppress(OSError):
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
            return words
    return ()


class Started(Protocol):
    """What is needed of a process that was started: a `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...


class Process:
    """One child process. It belongs to no event loop, so that fixtures of a whole test session can use it."""

    def __init__(self, name: str, log: Path) -> None:
        self.name: Final = name
        self.log: Final = log
        self._process: Started | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ProcessFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(
        self, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, user: int | None = None
    ) -> None:
        """Start the process in a session of its own: Ctrl-C must not reach it, since its owner stops it in order.

        On Linux it is killed when the present thread ends, however that happens.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            whole = None if environment is None else {**os.environ, **environment}
            self._process = self._opened(command, output, whole, user)

    async def until(self, ready: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
        """Return when *ready* returns true. Raises ProcessFailed if the process ends before, or after *within_s*."""
        deadline = asyncio.get_running_loop().time() + within_s
        while not await ready():
            if not self.running:
                raise ProcessFailed(f"{self.name} ended with code {self.exit_code}. Its log ends:\n{self.tail()}")
            if asyncio.get_running_loop().time() > deadline:
                raise ProcessFailed(f"{self.name} was not ready after {within_s:g} s. Its log ends:\n{self.tail()}")
            await asyncio.sleep(POLL_S)

    async def stop(self, how: signal.Signals = signal.SIGTERM, *, within_s: float = 30) -> int | None:
        """Send the signal *how*, and SIGKILL after *within_s*; return the exit code, None if it was never started."""
        if self._process is None:
            return None
        self.send(how)
        if not await self._ended(within_s):
            self.send(signal.SIGKILL)
            await self._ended(within_s)
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def tail(self) -> str:
        """Return the last TAIL_LINES lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-TAIL_LINES:])

    def _opened(
        self, command: Sequence[str | Path], output: IO[bytes], environment: Mapping[str, str] | None, user: int | None
    ) -> Started:
        return subprocess.Popen(
            [*_ends_with_its_owner(), *(str(part) for part in command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )

    async def _ended(self, within_s: float) -> bool:
        deadline = asyncio.get_running_loop().time() + within_s
        while self.running:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True
