"""A server of the sandbox: a process with a port, to be started, stopped, killed, or held still."""

import signal
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

from sandbox.processes import Process


class EmbeddedServer(ABC):
    """One process, started when it is entered and stopped when it is left."""

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
        """Return when it answers. Raises PortBusy and ProcessFailed."""

    @abstractmethod
    async def stop(self) -> None:
        """Shut down in order."""

    async def kill(self) -> None:
        """End it as `kill -9` does; what is in its directory is found again by the next start."""
        await self._process.stop(signal.SIGKILL)

    async def pause(self) -> None:
        """Stop it from running without ending it; connections stay open and nothing is answered."""
        self._process.send(signal.SIGSTOP)

    async def resume(self) -> None:
        self._process.send(signal.SIGCONT)
