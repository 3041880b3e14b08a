"""`python -m hubspot_consumer replay` and `resync`: what they take, and what they say."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiokafka.errors import KafkaError

from hubspot_consumer.lag import UnequalPartitions
from hubspot_consumer.new_topic import TopicNotCreated
from hubspot_consumer.portal import WrongPortal
from hubspot_consumer.reprocessing.heard import TakenOver
from hubspot_consumer.reprocessing.holding import AnotherRun
from hubspot_consumer.reprocessing.options import (
    FOLDER_DEFAULT,
    AsJson,
    Folder,
    Fresh,
    RateShare,
    Yes,
    agreed,
    can_write,
    known_types,
    moment,
)
from hubspot_consumer.reprocessing.plan import Plan
from hubspot_consumer.reprocessing.progress import progress
from hubspot_consumer.reprocessing.report import TooManyRefused
from hubspot_consumer.reprocessing.run import AlreadyRunning, NoFolder, Run, UnfinishedRun
from hubspot_consumer.reprocessing.selection import Selection
from hubspot_consumer.reprocessing.session import Session, TopicsMissing, session
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.commands import fail, read_settings, refuse

INTERRUPTED: Final = 130


def replay(  # noqa: PLR0913 - the options of the command
    *,
    since: Annotated[
        str, typer.Option(help="Events since then: 2026-11-24T03:00:00Z, or an age as 90m, 24h, 7d.")
    ] = "",
    until: Annotated[str, typer.Option(help="Events until then; the newest there are unless given.")] = "",
    from_earliest: Annotated[bool, typer.Option("--from-earliest", help="All events that the topics hold.")] = False,
    event_type: Annotated[list[str] | None, typer.Option(help="Events of this type alone; may be said again.")] = None,
    rate_share: RateShare = 0.3,
    timeline: Annotated[bool, typer.Option(help="Leave the timeline entries too; none is there twice.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read, fold, and say what would be written.")] = False,
    yes: Yes = False,
    fresh: Fresh = False,
    folder: Folder = FOLDER_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Let events take effect again: after a mapping was mended, an outage, or a portal that was restored.

    Folds the topics from a time to their end and writes each contact once, with the newest value of each property,
    whichever event that is of: no contact moves backwards. Workers go on meanwhile, with the rest of the quota. It says
    first what it will do, and asks. Ended by Ctrl-C or a crash, the same command goes on where it was.

    Exits with 0, with 1 if HubSpot refused something or it could not go on, with 2 if it was asked wrongly.
    """
    settings = read_settings(Settings)
    can_write(settings, dry_run=dry_run)
    if bool(since) == from_earliest:
        refuse("say either --since or --from-earliest")
    if not (dry_run or yes or sys.stdin.isatty()):
        agreed("", yes=False)
    now = datetime.now(UTC)
    selection = Selection(
        moment("--since", since, now) if since else None,
        moment("--until", until, now) if until else None,
        frozenset(settings.topics.of(name) for name in known_types(event_type)),
    )
    # An age is of another time whenever it is said; the words are what was asked for.
    asked = {"since": since, "until": until, "event_types": sorted(event_type or []), "timeline": timeline}
    logs.set_up(level=logging.WARNING)
    run = _open(folder, "plan" if dry_run else "replay", asked, fresh=fresh or dry_run)
    work = _replay(settings, run, selection, rate_share, timeline=timeline, dry_run=dry_run, yes=yes, as_json=as_json)
    raise SystemExit(run_to_its_end(work, "replay"))


async def _replay(  # noqa: PLR0913 - what was asked for
    settings: Settings,
    run: Run,
    selection: Selection,
    rate_share: float,
    *,
    timeline: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    async with session(settings, run, "replay", rate_share, timeline=timeline) as opened:
        if run.resumed:
            print(f"going on with the replay of {run.began:%Y-%m-%d %H:%M:%S} UTC", file=sys.stderr)
        with progress("read") as shown:
            folded = await opened.folded_topics(selection, shown)
        plan = await opened.plan(folded)
        print(*_told(plan, rate_share), sep="\n", file=sys.stderr)
        if dry_run:
            run.close(keep=False)
            print(json.dumps({"plan": plan.as_json()}) if as_json else "nothing was written: it was a dry run")
            return 0
        if not agreed("Write that?", yes=yes):
            run.close(keep=False)
            print("nothing was written")
            return 0
        with progress("contacts") as shown:
            await opened.replay(folded, lambda settled: shown(settled, plan.tally.contacts))
    return _finished(run, opened, plan, as_json=as_json)


def _told(plan: Plan, rate_share: float) -> Iterator[str]:
    tally = plan.tally
    yield f"events    {plan.read:,} read, {tally.events:,} of them to take effect again"
    if tally.unreadable:
        yield f"          {tally.unreadable:,} that nobody can read: see `dead-letters list`"
    yield f"contacts  {tally.contacts:,}"
    yield f"calls     {plan.upserts:,} for the contacts, {plan.timeline_calls:,} for the timeline"
    yield f"takes     {_duration(plan.takes.total_seconds())} at {rate_share:.0%} of the quota"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _finished(run: Run, opened: Session, plan: Plan, *, as_json: bool) -> int:
    report = opened.report
    seconds = (datetime.now(UTC) - run.began).total_seconds()
    told = {
        "run": run.id,
        "began": run.began.isoformat(),
        "took_s": round(seconds, 1),
        "plan": plan.as_json(),
        **report.as_json(),
    }
    path = run.finish(told)
    print(json.dumps(told, indent=2) if as_json else "\n".join(_summary(told, str(path))))
    return 1 if report.refused else 0


def _summary(told: dict[str, Any], path: str) -> Iterator[str]:
    yield f"{told['contacts_written']:,} contacts written, {told['timeline_entries']:,} timeline entries left"
    for name in ("contacts_suppressed", "contacts_moved"):
        if told[name]:
            yield f"{told[name]:,} {name.replace('_', ' ')}"
    for refused in told["refused"]:
        what = f"{refused['event_type']} of " if "event_type" in refused else ""
        yield f"refused: {what}{refused['contact']}: {refused['detail']}"
    yield f"took {_duration(told['took_s'])}, {sum(told['calls'].values()):,} calls; the report is {path}"


def _open(folder: Path, name: str, asked: dict[str, Any], *, fresh: bool) -> Run:
    try:
        return Run.open(folder, name, asked, datetime.now(UTC), fresh=fresh)
    except (UnfinishedRun, NoFolder, AlreadyRunning) as error:
        refuse(str(error))


def run_to_its_end(work: Coroutine[Any, Any, int], name: str) -> int:
    """Run a command until it ends or is told to; return its exit code."""
    try:
        return asyncio.run(_until_stopped(work, name))
    except* WrongPortal as errors:
        refuse(_words(errors))
    except* (AnotherRun, TakenOver, TooManyRefused, TopicsMissing, TopicNotCreated, UnequalPartitions) as errors:
        fail(_words(errors))
    except* (KafkaError, OSError) as errors:
        fail(f"KAFKA_BOOTSTRAP_SERVERS: {_words(errors) or 'no broker answers'}")


async def _until_stopped(work: Coroutine[Any, Any, int], name: str) -> int:
    loop = asyncio.get_running_loop()
    running = loop.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        print(f"ended before its time: run the same {name} again, and it goes on from here", file=sys.stderr)
        return INTERRUPTED


def _words(errors: BaseExceptionGroup[BaseException]) -> str:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first) or type(first).__name__
