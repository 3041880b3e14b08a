"""A server of the sandbox: a process with a port that can be started, stopped, killed and suspended."""

import signal
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

from sandbox.processes import Process


class EmbeddedServer(ABC):
    """One server process. As a context manager, it starts on entry and stops on exit."""

    def __init__(self, process: Process) -> None:
        self._process: Final = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @abstractmethod
    async def start(self) -> None:
        """Start the server, and return when it answers. Raises PortBusy and ProcessFailed."""

    @abstractmethod
    async def stop(self) -> None:
        """Shut down gracefully."""

    async def kill(self) -> None:
        """Kill the process as `kill -9` does; the next start finds the data in its directory."""
        await self._process.stop(signal.SIGKILL)

    async def pause(self) -> None:
        """Suspend the process: connections stay open, and no request is answered."""
        self._process.send(signal.SIGSTOP)

    async def resume(self) -> None:
        self._process.send(signal.SIGCONT)
