"""The network of a simulation: requests and answers take their time, get lost, and come late."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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


@dataclass(slots=True)
class _Asking:
    """A request: what it does at the server, and until when its process waits for the answer."""

    process: Process
    server: Server
    act: Act
    answer: "asyncio.Future[Any]"
    until: float
    timer: asyncio.TimerHandle | None = None

    def answered(self, _: object) -> None:
        if self.timer is not None:
            self.timer.cancel()


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
        process, loop = CURRENT.get(), self._loop
        asking = _Asking(process, server, act, loop.create_future(), loop.time() + within_s)
        way_s = self._way_s(process, server)
        if server in self.down:
            loop.in_world(way_s, _fail, asking.answer, NotReached(server))
        else:
            loop.in_world(way_s, self._arrive, asking)
        if way_s >= within_s:
            self._time_out(asking)
        return await asking.answer

    def _arrive(self, asking: "_Asking") -> None:
        if (asking.process, asking.server) in self.cut:
            self._time_out(asking)
            if asking.server != "hubspot":
                # TCP repeats what it has sent. A call to HubSpot is lost: nothing could order it that comes so late.
                self._loop.in_world(REPEAT_S, self._arrive, asking)
            return
        if asking.server in self.down:
            _fail(asking.answer, NotReached(asking.server))
            return
        try:
            result = asking.act()
        except Exception as error:  # noqa: BLE001 - any error of the server is its answer
            self._answer(asking, _fail, error)
            return
        if isinstance(result, asyncio.Future):
            self._time_out(asking)
            result.add_done_callback(partial(self._answered, asking), context=self._loop.world.context)
        else:
            self._answer(asking, _succeed, result)

    def _answered(self, asking: "_Asking", done: "asyncio.Future[Any]") -> None:
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self._answer(asking, _fail, error)
        else:
            self._answer(asking, _succeed, done.result())

    def _answer(self, asking: "_Asking", tell: Callable[..., None], what: object) -> None:
        if (resets := self.resetting.get(asking.server)) and self._chance.random() < resets:
            tell, what = _fail, Reset(asking.server)
        arrives_at = self.send_back(asking.process, asking.server, tell, asking.answer, what)
        if arrives_at is None or arrives_at >= asking.until:
            self._time_out(asking)

    def _time_out(self, asking: "_Asking") -> None:
        """Let the process find out when its time is up. Of most requests it need not: their answers come before."""
        if asking.timer is None and not asking.answer.done():
            asking.timer = self._loop.call_at(
                asking.until, _fail, asking.answer, NoAnswer(asking.server), context=asking.process.context
            )
            asking.answer.add_done_callback(asking.answered, context=asking.process.context)

    def send_back(self, process: Process, server: Server, tell: Callable[..., None], *what: Any) -> float | None:
        """Let *tell* be called in the process's world when a message of the server's arrives. Return when that is, None
        if it does not.
        """
        if server in self.down:
            return None
        if (process, server) in self.cut:
            if server != "hubspot":
                self._loop.in_world(REPEAT_S, self.send_back, process, server, tell, *what)
            return None
        if (lost := self.lossy.get(server)) and self._chance.random() < lost:
            return None
        way_s = self._way_s(process, server)
        self._loop.in_world(way_s, tell, *what)
        return self._loop.time() + way_s

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
