"""`python -m console serve`: the composition root, which wires the console's objects."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

import httpx
from fastapi import FastAPI

from console.audit_log import AuditLog
from console.contacts.index import Index
from console.contacts.indexer import Indexer
from console.contacts.outbox import ContactsOutbox
from console.contacts.present import PresentState
from console.contacts.search import Search
from console.control import Control
from console.dead_letters.cache import LettersReader
from console.overview.backlog import TopicsReader, ask_outbox
from console.overview.flow import Sources
from console.overview.overview import Overview
from console.overview.past.history_file import HistoryFile
from console.overview.services import ask_producer, ask_worker
from console.overview.source import SOURCE_WITHIN_S, ProcessSources, Source
from console.pages.contact import contact_pages
from console.pages.control import control_pages
from console.pages.dead_letter_actions import dead_letter_actions
from console.pages.dead_letters import dead_letter_pages
from console.pages.overview import overview_pages
from console.pages.replay import replay_pages
from console.pages.runs import RunStarter, run_pages
from console.pages.sign_in import sign_in_pages
from console.runs.event_times import EventTimes
from console.runs.ranges import Stop
from console.runs.runs import Runs
from console.settings import Settings
from console.shared_settings import ours_of
from console.web.access import Access
from console.web.app import console
from console.web.closed import CLOSED, closed_console
from console.web.sessions import Sessions
from console.web.view import View
from hubspot_consumer.settings import Settings as ConsumerSettings
from runtime import logs
from runtime.clock import Clock, SystemClock
from runtime.commands import EXIT_WITHIN_S, read_settings, run_service, stop_signal
from runtime.http.server import serving
from runtime.logs import log

Work = Callable[[], Coroutine[Any, Any, None]]
"""A coroutine function that runs for as long as the console does."""

AGAIN_S: Final = 1.0
# How long a thread may keep Python's lock while another waits for it. A page waits for it some fifty times, after each
# query and each answer of the network. With Python's 5 ms, the thread of the indexer would take most of a page's time.
SWITCH_S: Final = 0.0005


def serve() -> None:
    """Serve the console on CONSOLE_HOST and CONSOLE_PORT, until told to stop.

    It needs KAFKA_BOOTSTRAP_SERVERS and a way to sign in: CONSOLE_OPERATOR_TOKEN, CONSOLE_READER_TOKEN or
    CONSOLE_PROXY_HEADER. Without one, all that it shows is that it needs one. It says what it can't reach. Actions run
    the commands of `python -m hubspot_consumer`, which read the same environment.
    """
    sys.setswitchinterval(SWITCH_S)
    settings, consumer = read_settings(Settings), read_settings(ConsumerSettings)
    logs.set_up(level=settings.log_level, secrets=(*settings.secrets, *consumer.secrets))
    run_service(_serve(settings, consumer))


async def _serve(settings: Settings, consumer: ConsumerSettings) -> None:
    stop = stop_signal(exit_within_s=EXIT_WITHIN_S)
    async with AsyncExitStack() as opened:
        http = await opened.enter_async_context(httpx.AsyncClient(timeout=SOURCE_WITHIN_S))
        clock = SystemClock()
        wired = wire(settings, consumer, http, clock)
        for close in wired.closing:
            opened.push_async_callback(close)
        log.info("service.starting", port=settings.console_port)
        if not settings.somebody_can_sign_in:
            log.error("console.closed", why=CLOSED)
        await opened.enter_async_context(
            serving(wired.app, settings.console_port, "CONSOLE_PORT", settings.console_host)
        )
        await _until(stop, wired.works, clock)
    log.info("service.stopped")


async def _until(stop: asyncio.Event, works: Sequence[Work], clock: Clock) -> None:
    """Run *works* until *stop* is set."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(kept_up(work, clock)) for work in works]
        await stop.wait()
        for task in tasks:
            task.cancel()


async def kept_up(work: Work, clock: Clock) -> NoReturn:
    """Run *work*, and restart it whenever it ends: one programming error must not take down all pages."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("console.work_ended")
        await clock.sleep(AGAIN_S)


@dataclass(frozen=True)
class Wired:
    """The console before it is served: the application, its background works, and the callbacks that close it."""

    app: FastAPI
    works: Sequence[Work]
    closing: tuple[Callable[[], Awaitable[None]], ...]


def wire(settings: Settings, consumer: ConsumerSettings, http: httpx.AsyncClient, clock: Clock) -> Wired:
    """Return the console without connecting to anything."""
    if not settings.somebody_can_sign_in:
        return Wired(closed_console(), (), ())
    kafka = settings.client_options()
    topics = TopicsReader(kafka, consumer.group, settings.topics.events)
    ours = ours_of(consumer)
    runs = Runs(settings.console_folder, clock)
    overview = Overview(
        _sources(settings, consumer.group, ours, http, topics, clock),
        HistoryFile(settings.console_folder),
        partial(runs.all, "replay", "redrive", "resync"),
    )

    actions = AuditLog(settings, clock)
    sessions = Sessions(clock)
    view, access = View(overview.now), Access(settings, sessions, clock)
    letters = LettersReader(kafka, settings.topics, clock)
    starter = RunStarter(runs, actions, Control(settings, ours, http, clock))
    times = EventTimes(kafka, settings.topics, clock)
    index = Index(settings.console_folder)
    indexer = Indexer(kafka, settings.topics, consumer.group, index, clock)
    search = Search(index, settings.topics, lambda: indexer.state, ContactsOutbox(settings.database))
    present = PresentState(consumer, index, clock)
    pages = (
        overview_pages(view, overview),
        contact_pages(view, search, present, starter),
        dead_letter_pages(view, letters, starter, clock),
        dead_letter_actions(letters, starter),
        replay_pages(view, starter, clock, times, lambda: _stops(overview)),
        run_pages(view, runs, actions),
        control_pages(view, starter, next(iter(settings.console_consumers), "")),
        sign_in_pages(view, access, sessions),
    )
    app = console(view, access, pages, https=settings.console_https)
    files = (partial(asyncio.to_thread, index.close), partial(asyncio.to_thread, overview.file.close))
    closing = (topics.stop, letters.stop, times.stop, actions.stop, present.close, *files)
    return Wired(app, [*overview.works(), indexer.follow], closing)


def _stops(overview: Overview) -> Iterator[Stop]:
    for mark in overview.marks:
        if mark.kind in ("halt", "pause"):
            yield Stop(mark.kind, mark.began_at, mark.goes_on)


def _sources(  # noqa: PLR0913, PLR0917 - what the overview polls
    settings: Settings,
    group: str,
    ours: Mapping[str, str],
    http: httpx.AsyncClient,
    topics: TopicsReader,
    clock: Clock,
) -> Sources:
    url = settings.database
    return Sources(
        producers=ProcessSources("producer", settings.console_producers, partial(ask_producer, http), clock),
        workers=ProcessSources("worker", settings.console_consumers, partial(ask_worker, http), clock),
        topics=Source("Kafka", topics.ask, clock),
        outbox=Source("outbox", lambda: ask_outbox(url()), clock) if url else None,
        group=group,
        ours=ours,
        clock=clock,
    )
