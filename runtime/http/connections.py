"""The connections of our HTTP servers: how many there are, and how long each may wait for its client.

uvicorn has no time limit for the head of a request. Its `limit_concurrency` refuses new connections, health probes
among them, while unfinished requests occupy all places.
"""

import asyncio
import resource
from collections.abc import Callable
from typing import Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Time from the beginning of a connection, or from the end of an answer, to the end of the next request's head.
HEAD_WITHIN_S: Final = 10.0
# Time for a client to take an answer from us.
TAKEN_WITHIN_S: Final = 30.0
# A request's head of this size is accepted in any case, one of twice this size in no case.
LONGEST_HEAD: Final = 16 * 1024
MOST: Final = 256


def most_connections() -> int:
    """Return how many connections a server keeps: at most a quarter of the process's file descriptors.

    New connections take a second quarter for a moment. Kafka, PostgreSQL and HubSpot have the others.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if descriptors == resource.RLIM_INFINITY else min(MOST, max(1, descriptors // 4))


class BoundedConnection(H11Protocol):
    """A connection that is closed if its client is too slow, or waited for longest when a new one needs the place."""

    _timer: asyncio.TimerHandle | None = None
    waits_since = 0.0
    aborted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._expect_request()
        if len(self.connections) > most_connections():
            self._make_room()

    def data_received(self, data: bytes) -> None:
        # h11 measures only a head that is incomplete, so a head that came in one piece could have any size.
        for begin in range(0, len(data), LONGEST_HEAD):
            if not self.transport.is_closing():
                super().data_received(data[begin : begin + LONGEST_HEAD])

    def on_response_complete(self) -> None:
        self._expect_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._within(TAKEN_WITHIN_S, self._abort_if_the_answer_is_not_taken)

    def send_400_response(self, msg: str) -> None:
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            # The fault is in the rest of a body whose request was answered early.
            self.abort()
        if self.cycle is not None:
            # The application would fail in answering a second time.
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        kept = [each for each in self.connections if isinstance(each, BoundedConnection) and not each.aborted]
        if len(kept) > most_connections():
            self.logger.warning("Too many connections: the one that waited longest for its client is closed.")
            # This connection is the newest of those that wait: it is closed if all others are being answered.
            min((each for each in kept if each.waits), key=lambda each: each.waits_since).abort()

    @property
    def waits(self) -> bool:
        """Whether the client is to do something: to send a head or a body, or to take an answer."""
        return self._is_between_requests or self.cycle.more_body or self.flow.write_paused

    @property
    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_request(self) -> None:
        self.waits_since = self.loop.time()
        self._within(HEAD_WITHIN_S, self._close_if_no_request_came)

    def _close_if_no_request_came(self) -> None:
        # A body whose request was answered early, and which has not ended, counts as none too.
        if self._is_between_requests:
            self.transport.close()
            self._within(TAKEN_WITHIN_S, self.abort)

    def _abort_if_the_answer_is_not_taken(self) -> None:
        if self.flow.write_paused:
            self.abort()

    def abort(self) -> None:
        self.aborted = True
        self.transport.abort()

    def _within(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, action)
