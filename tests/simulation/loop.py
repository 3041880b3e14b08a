"""The event loop of a simulation: it owns the time, and the order of callbacks of different processes.

A simulated process is everything that runs in a context of its own: its tasks and their callbacks keep asyncio's order
among each other, as in a real process, and those of two processes have none. Time passes only while no process has
anything to do. So a seed decides the whole schedule.
"""

import asyncio
import gc
import sys
import warnings
from asyncio import AbstractEventLoop, Future, Handle, Task, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

MOST_AWAITS_AT_THE_END: Final = 10
Callback = Callable[..., object]

# The time goes on by this at least.
SHORTEST_S: Final = 1e-6


class SimulationEnded(BaseException):
    """Nothing is left to do, or the limit of virtual time or of steps is reached."""


class Process:
    """A simulated process: it may be paused, as by SIGSTOP, or dead, as after `kill -9`."""

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.ready: Final[deque[Handle | _Happening]] = deque()
        self.paused = False
        self.dead = False
        # Seconds by which this process's clock differs from the time of the world.
        self.clock_ahead_s = 0.0
        self.context: Final[Context] = copy_context()
        self.context.run(CURRENT.set, self)

    def __repr__(self) -> str:
        return self.name


CURRENT: ContextVar[Process] = ContextVar("process")


class _Task(Task[Any]):
    """A task whose hash is its number: asyncio keeps tasks in sets, whose order must not depend on addresses."""

    _number = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # `asyncio` puts the task into a set in its `__init__`.
        _Task._number += 1
        self._hash = _Task._number
        context: Context | None = kwargs.get("context")
        self.process: Final = context.get(CURRENT) if context else CURRENT.get(None)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._hash

    def __del__(self) -> None:
        """Say nothing of tasks that were pending: their process was killed."""


class _Happening:
    """A callback of the world, which nobody cancels: lighter than asyncio's handles."""

    __slots__ = ("_args", "_callback", "_context")
    _cancelled: Final = False

    def __init__(self, callback: Callback, args: tuple[Any, ...], context: Context) -> None:
        self._callback = callback
        self._args = args
        self._context = context

    def _run(self) -> None:
        self._context.run(self._callback, *self._args)


# To type checkers all of a loop's methods are abstract. Most of them no simulation calls.
_EventLoop: Any = AbstractEventLoop


class SimulatedLoop(_EventLoop):  # type: ignore[misc]
    """Runs callbacks of one process after the other, chosen by *chance*, until a future is done.

    Raises SimulationEnded beyond *most_steps* callbacks.
    """

    def __init__(self, chance: Random, *, most_steps: int = 500_000) -> None:
        self._chance: Final = chance
        self._now = 0.0
        self._timers: list[tuple[float, int, TimerHandle | _Happening]] = []
        self._count = 0
        self._steps_left = most_steps
        # Everything outside of the processes: networks and servers.
        self.world: Final = Process("world")
        self._busy: list[Process] = []
        self.unhandled: list[dict[str, Any]] = []
        self.steps = 0
        self._killed: list[Task[Any]] = []

    def time(self) -> float:
        return self._now

    def create_future(self) -> "Future[Any]":
        return Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> Task[Any]:
        return _Task(coro, loop=self, **options)

    def start(self, process: Process, work: Coroutine[Any, Any, Any]) -> Task[Any]:
        """Run *work* as a task of *process*."""
        return self.create_task(work, context=process.context)

    def call_soon(self, callback: Callback, *args: Any, context: Context | None = None) -> Handle:
        handle = Handle(callback, args, self, context)
        self._put(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Callback, *args: Any, context: Context | None = None) -> TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callback, *args: Any, context: Context | None = None) -> TimerHandle:
        timer = TimerHandle(when, callback, args, self, context)
        self._count += 1
        heappush(self._timers, (max(when, self._now), self._count, timer))
        return timer

    def in_world(self, delay: float, callback: Callback, *args: Any) -> None:
        """Call *callback* after *delay*, whatever becomes of the present process meanwhile."""
        self._count += 1
        happening = _Happening(callback, args, self.world.context)
        heappush(self._timers, (self._now + delay, self._count, happening))

    def kill(self, process: Process) -> None:
        """Let *process* do nothing any more, between any two of its awaits."""
        process.dead = True
        # To delete its coroutines would run their `finally`.
        self._killed += [task for task in asyncio.all_tasks(self) if getattr(task, "process", None) is process]
        process.ready.clear()

    def end(self) -> None:
        """Let the simulation end after the present callback."""
        self._steps_left = 0

    def resume(self, process: Process) -> None:
        """Let a paused process go on with what it missed."""
        process.paused = False
        if process.ready and process not in self._busy:
            self._busy.append(process)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what *work* returns, as a task of the world. Raises its exception, or SimulationEnded."""
        before, hooks, unraisable = asyncio._get_running_loop(), sys.get_asyncgen_hooks(), sys.unraisablehook
        asyncio._set_running_loop(self)
        # Processes that were killed leave generators behind that can't be closed.
        sys.set_asyncgen_hooks(firstiter=_nothing, finalizer=_nothing)
        sys.unraisablehook = _nothing
        # Objects are collected between two simulations alone, and only theirs are looked at.
        gc.disable()
        if frozen := gc.get_freeze_count() > 0:
            gc.collect()
        else:
            gc.freeze()
        main = self.start(self.world, work)
        try:
            while not main.done():
                self._turn()
            return main.result()
        finally:
            # What is left of the processes ends here, and not in the middle of another simulation.
            del main
            self._forget()
            if not frozen:
                gc.unfreeze()
            gc.enable()
            asyncio._set_running_loop(before)
            sys.set_asyncgen_hooks(*hooks)
            sys.unraisablehook = unraisable

    def _forget(self) -> None:
        """End all tasks, without any effect of what they do then."""
        tasks = sorted((task for task in asyncio.all_tasks(self) if isinstance(task, _Task)), key=hash)
        self.world.dead = True
        for task in tasks:
            if task.process is not None:
                task.process.dead = True
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            for task in tasks:
                # A coroutine may wait again while it ends.
                for _ in range(MOST_AWAITS_AT_THE_END):
                    with suppress(BaseException):
                        task.get_coro().close()
                        break
            self._killed.clear()
            self._timers.clear()
            gc.collect()

    def _put(self, handle: Handle | _Happening) -> None:
        process: Process = handle._context.get(CURRENT, self.world)  # type: ignore[union-attr]
        if process.dead:
            return
        if not process.ready and not process.paused:
            self._busy.append(process)
        process.ready.append(handle)

    def _turn(self) -> None:
        """Run the callbacks that one process has now, or let the time go on to the next timer."""
        busy = self._busy
        if not busy:
            self._go_on()
            return
        at = int(self._chance.random() * len(busy)) if len(busy) > 1 else 0
        process = busy[at]
        busy[at] = busy[-1]
        busy.pop()
        if process.paused or process.dead:
            return
        ready = process.ready
        for _ in range(len(ready)):
            # A callback may kill or pause its own process, or the world another one.
            if not ready or process.paused:
                break
            handle = ready.popleft()
            if not handle._cancelled:
                self.steps += 1
                handle._run()
        if ready and not process.paused and process not in busy:
            busy.append(process)
        if self.steps > self._steps_left:
            raise SimulationEnded(f"more than {self._steps_left:,} steps")

    def _go_on(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
        if not timers:
            raise SimulationEnded("nothing is left to do")
        # A timer may ask for the next representable moment again and again.
        now = self._now = max(timers[0][0], self._now + SHORTEST_S)
        while timers and timers[0][0] <= now:
            _, _, timer = heappop(timers)
            if not timer._cancelled:
                self._put(timer)

    # What asyncio asks of a loop besides.

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def _timer_handle_cancelled(self, _timer: TimerHandle) -> None:
        """Cancelled timers are passed over when they are due."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.unhandled.append(context)

    async def run_in_executor(self, _executor: object, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)


def _nothing(*_: object) -> None: ...
