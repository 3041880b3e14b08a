"""What stands in for psycopg's connections in a simulation. It knows the relay's statements, and no others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, Self

from psycopg import OperationalError
from psycopg.errors import AdminShutdown

from runtime.database import READ_ONLY
from tests.simulation.loop import CURRENT
from tests.simulation.network import NoAnswer, NotReached
from tests.simulation.outbox.database import Database, Session
from tests.simulation.outbox.statements import STATEMENTS, Answer

# The database that a process's DATABASE_URL leads to.
DATABASE: Final[ContextVar[Database]] = ContextVar("database")


class UnknownStatement(NotImplementedError):
    """The simulation does not know what this statement does: see `statements.py`."""


class Cursor:
    """The answer to a statement; `description` is None if that returns no rows."""

    def __init__(self, answer: Answer) -> None:
        self._answer: Final = answer
        self.description: Final = None if answer is None else ("column",)

    async def fetchall(self) -> list[tuple[Any, ...]]:
        assert self._answer is not None
        return self._answer


class SimulatedConnection:
    """Stands in for psycopg.AsyncConnection with autocommit."""

    # Without parameters: no connection here has chosen a schema.
    info: Final = SimpleNamespace(get_parameters=dict)

    def __init__(self, database: Database, session: Session, answer_within_s: float) -> None:
        self._database: Final = database
        self._session: Final = session
        self._answer_within_s: Final = answer_within_s
        # One statement after the other, or a wait for notifications.
        self._lock: Final = asyncio.Lock()
        self._notifications = 0
        self._notified: asyncio.Future[None] | None = None
        self._broken = False
        self.prepare_threshold: int | None = 5
        session.notify, session.lose = self._notify, self._lose

    @classmethod
    async def connect(
        cls, _url: str, *, autocommit: bool, application_name: str, connect_timeout: float, **options: Any
    ) -> Self:
        assert autocommit
        database = DATABASE.get()
        session = Session(CURRENT.get(), application_name)
        connection = cls(database, session, options["tcp_user_timeout"] / 1000)
        try:
            await connection._ask(partial(database.log_in, session), connect_timeout)
        except BaseException:
            await connection.close()
            raise
        return connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Everything commits at once: the relay has no transaction of several statements that write."""
        yield

    async def execute(self, statement: str | bytes, parameters: Any = None, *, prepare: bool = False) -> Cursor:
        assert not prepare
        do = _nothing if _sets_transaction(statement) else STATEMENTS.get(str(statement))
        if do is None:
            raise UnknownStatement(str(statement))
        async with self._lock:
            if self._broken:
                raise OperationalError("the connection is closed")
            return Cursor(await self._ask(partial(self._arrive, do, parameters), self._answer_within_s))

    async def notifies(self, *, timeout: float, stop_after: int) -> AsyncIterator[str]:  # noqa: ASYNC109 - psycopg's
        """Yield notifications until *stop_after* came, or *timeout* seconds have passed."""
        assert stop_after == 1
        async with self._lock:
            if not self._notifications and not self._broken:
                loop = asyncio.get_running_loop()
                self._notified = loop.create_future()
                timer = loop.call_later(timeout, _wake, self._notified)
                try:
                    await self._notified
                finally:
                    timer.cancel()
                    self._notified = None
            if self._broken:
                raise OperationalError("the connection is lost")
            while self._notifications:
                self._notifications -= 1
                yield ""

    async def close(self) -> None:
        self._broken = True
        if self._session.left_at is None:
            self._session.left_at = self._database.loop.time()

    async def _ask(self, act: Any, within_s: float) -> Any:
        self._session.under_way += 1
        try:
            return await self._database.network.ask("database", partial(self._got, act), within_s=within_s)
        except (NoAnswer, NotReached) as error:
            self._broken = True
            raise OperationalError(f"connection to the server failed: {type(error).__name__}") from None
        except OperationalError:
            self._broken = True
            raise

    def _got(self, act: Any) -> Any:
        self._session.under_way -= 1
        return act()

    def _arrive(self, do: Any, parameters: Any) -> Any:
        session = self._session
        if session.ended:
            raise AdminShutdown("terminating connection due to administrator command")
        session.state_change = self._database.clock()
        return do(self._database, session, parameters)

    def _notify(self) -> None:
        self._notifications += 1
        _wake(self._notified)

    def _lose(self) -> None:
        self._broken = True
        _wake(self._notified)


def _sets_transaction(statement: str | bytes) -> bool:
    return isinstance(statement, bytes) and statement.decode().startswith(READ_ONLY)


def _nothing(_: Database, __: Session, ___: Any) -> Answer:
    return None


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


# The name of what is replaced in a simulation, and what stands in for it.
PATCHES: Final[tuple[tuple[str, Any], ...]] = (("psycopg.AsyncConnection", SimulatedConnection),)
