"""The network of a simulation: requests and answers take their time, get lost, and come late."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final, Literal

from tests.simulation.loop import CURRENT, Process, SimulatedLoop

Server = Literal["kafka", "database", "hubspot"]
Act = Callable[[], Any]

# Seconds that a message takes, at least and at most, on a good day.
FASTEST_S: Final = 0.0005
SLOWEST_S: Final = 0.004
# After this, TCP repeats what was not acknowledged.
REPEAT_S: Final = 0.4


class NoAnswer(Exception):
    """The answer did not come in time: the request may have taken effect."""


class NotReached(Exception):
    """The server refuses the connection: the request has not taken effect."""


class Reset(Exception):
    """The connection broke before the answer came: the request has taken effect."""


class Network:
    """Carries requests of processes to servers, which act when the request arrives."""

    def __init__(self, loop: SimulatedLoop, chance: Random) -> None:
        self._loop: Final = loop
        self._chance: Final = chance
        # Servers that refuse connections, and pairs of a process and a server between which nothing passes.
        self.down: Final[set[Server]] = set()
        self.cut: Final[set[tuple[Process, Server]]] = set()
        # Extra seconds of each message between a process and a server, at most.
        self.slow: Final[dict[tuple[Process, Server], float]] = {}
        # Probability that an answer is lost after the request took effect.
        self.lossy: Final[dict[Server, float]] = {}
        # Probability that the connection breaks instead of an answer.
        self.resetting: Final[dict[Server, float]] = {}

    async def ask(self, server: Server, act: Act, *, within_s: float) -> Any:
        """Return what *act* returns when the request is at *server*, or what its future results in.

        Raises the exception of *act*, NotReached, or NoAnswer after *within_s*.
        """
        process = CURRENT.get()
        answer: asyncio.Future[Any] = self._loop.create_future()
        if server in self.down:
            self._loop.in_world(self._way_s(process, server), _fail, answer, NotReached(server))
        else:
            self._loop.in_world(self._way_s(process, server), self._arrive, process, server, act, answer)
        timer = self._loop.call_later(within_s, _fail, answer, NoAnswer(server))
        try:
            return await answer
        finally:
            timer.cancel()

    def _arrive(self, process: Process, server: Server, act: Act, answer: "asyncio.Future[Any]") -> None:
        if (process, server) in self.cut:
            if server != "hubspot":
                # TCP repeats what it has sent. A call to HubSpot is lost: nothing could order it that comes so late.
                self._loop.in_world(REPEAT_S, self._arrive, process, server, act, answer)
            return
        if server in self.down:
            _fail(answer, NotReached(server))
            return
        try:
            result = act()
        except Exception as error:  # noqa: BLE001 - any error of the server is its answer
            self.send_back(process, server, _fail, answer, error)
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(
                lambda done: self._answered(process, server, done, answer), context=self._loop.world.context
            )
        else:
            self._succeeded(process, server, answer, result)

    def _answered(
        self, process: Process, server: Server, done: "asyncio.Future[Any]", answer: "asyncio.Future[Any]"
    ) -> None:
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self.send_back(process, server, _fail, answer, error)
        else:
            self._succeeded(process, server, answer, done.result())

    def _succeeded(self, process: Process, server: Server, answer: "asyncio.Future[Any]", result: object) -> None:
        if (reset := self.resetting.get(server)) and self._chance.random() < reset:
            self.send_back(process, server, _fail, answer, Reset(server))
        else:
            self.send_back(process, server, _succeed, answer, result)

    def send_back(self, process: Process, server: Server, tell: Callable[..., None], *what: Any) -> None:
        """Let *tell* be called in the process's world when a message of the server's arrives, if it does."""
        if server in self.down:
            return
        if (process, server) in self.cut:
            if server != "hubspot":
                self._loop.in_world(REPEAT_S, self.send_back, process, server, tell, *what)
            return
        if (lost := self.lossy.get(server)) and self._chance.random() < lost:
            return
        self._loop.in_world(self._way_s(process, server), tell, *what)

    def _way_s(self, process: Process, server: Server) -> float:
        way_s = FASTEST_S + self._chance.random() * (SLOWEST_S - FASTEST_S)
        if self.slow and (most_s := self.slow.get((process, server))):
            way_s += self._chance.random() * most_s
        return way_s


def _succeed(answer: "asyncio.Future[Any]", result: object) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: "asyncio.Future[Any]", error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
