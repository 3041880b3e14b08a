"""`python -m hubspot_consumer replay`: its options and its output."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from hubspot_consumer.cli.exit_codes import run_to_its_end
from hubspot_consumer.cli.options import (
    FOLDER_DEFAULT,
    AsJson,
    Folder,
    Fresh,
    RateShare,
    Yes,
    agreed,
    can_ask,
    can_write,
    known_types,
    moment,
    open_run,
)
from hubspot_consumer.cli.progress import ProgressAs, Watcher, now_at, progress, tell_plan, watched
from hubspot_consumer.history.plan import RunPlan
from hubspot_consumer.history.selection import Selection
from hubspot_consumer.reprocessing.replay import Replay
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import RunSession, session
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.commands import read_settings, refuse


def replay(  # noqa: PLR0913 - the options of the command
    *,
    since: Annotated[
        str, typer.Option(help="Events since then: 2026-11-24T03:00:00Z, or an age such as 90m, 24h, 7d.")
    ] = "",
    until: Annotated[str, typer.Option(help="Events until then; the default is the newest.")] = "",
    from_earliest: Annotated[bool, typer.Option("--from-earliest", help="All events on the topics.")] = False,
    event_type: Annotated[list[str] | None, typer.Option(help="Only events of this type; may be repeated.")] = None,
    rate_share: RateShare = 0.3,
    timeline: Annotated[bool, typer.Option(help="Write timeline entries too; none appears twice.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read, and show what would be written.")] = False,
    yes: Yes = False,
    fresh: Fresh = False,
    folder: Folder = FOLDER_DEFAULT,
    as_json: AsJson = False,
    progress_as: ProgressAs = "bars",
) -> None:
    """Let past events take effect again, for example after a mapping was corrected or a portal was restored.

    Reads the topics from a time to their end, and writes each contact once, with the newest value of each property. No
    contact moves backwards. Workers continue with the rest of the quota. The command shows its plan first, and asks.
    After Ctrl-C or a crash, the same command continues.

    Exits with 0 if all was written, with 1 if HubSpot refused something or it could not continue, with 2 if an option
    is wrong.
    """
    settings = read_settings(Settings)
    can_write(settings, dry_run=dry_run)
    if bool(since) == from_earliest:
        refuse("pass either --since or --from-earliest")
    if not dry_run:
        can_ask(yes=yes)
    topics = frozenset(settings.topics.of(name) for name in known_types(event_type))
    # Wrong times exit here, before a file is created in the folder.
    _selection(since, until, topics, datetime.now(UTC))
    # The options are compared as text: an age such as 24h is another time on each call.
    asked = {"since": since, "until": until, "event_types": sorted(event_type or []), "timeline": timeline}
    logs.set_up(level=logging.WARNING, secrets=settings.secrets)
    run = open_run(folder, "plan" if dry_run else "replay", asked, fresh=fresh or dry_run)
    # Ages are relative to the start of the run, so a run from yesterday continues with yesterday's times.
    selection = _selection(since, until, topics, run.began)
    told = {"timeline": timeline, "dry_run": dry_run, "yes": yes, "as_json": as_json}
    with watched(progress_as) as watcher:
        work = _replay(settings, run, selection, rate_share, watcher, **told)
        raise SystemExit(run_to_its_end(work, "replay", settings))


def _selection(since: str, until: str, topics: frozenset[str], now: datetime) -> Selection:
    return Selection(
        moment("--since", since, now) if since else None, moment("--until", until, now) if until else None, topics
    )


async def _replay(  # noqa: PLR0913 - the options of the command
    settings: Settings,
    run: Run,
    selection: Selection,
    rate_share: float,
    watcher: Watcher | None,
    *,
    timeline: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    async with session(settings, run, "replay", rate_share, timeline=timeline) as opened:
        if not dry_run:
            await opened.keep_off_while_paused()
        book = await opened.dead_letters()
        selection = replace(selection, set_aside=book.not_in_effect(), mends=book.mends())
        if run.resumed and watcher is not None:
            watcher.tell(resumed=run.began.isoformat())
        elif run.resumed:
            print(f"continuing the replay of {run.began:%Y-%m-%d %H:%M:%S} UTC", file=sys.stderr)
        began = time.monotonic()
        with progress("read", watcher) as shown:
            folded = await opened.projections(selection, shown)
        read_s = time.monotonic() - began
        now_at("plan", watcher)
        plan = await opened.plan(folded)
        plan_s = time.monotonic() - began
        tell_plan(watcher, plan.as_json(), _told(plan, rate_share))
        if dry_run:
            run.close(keep=False)
            told = {"plan": plan.as_json(), "read_s": round(read_s, 2), "read_and_folded_s": round(plan_s, 2)}
            print(json.dumps(told) if as_json else "nothing was written: it was a dry run")
            return 0
        if not agreed("Write that?", yes=yes):
            run.close(keep=False)
            print("nothing was written")
            return 0
        with progress("contacts", watcher) as shown:
            async with opened.access(folded) as access:
                replaying = Replay(run, folded, access, opened.report, opened.clock)
                await replaying.write(lambda settled: shown(settled, plan.tally.contacts))
        await opened.settle(book)
    return _finished(run, opened, plan, as_json=as_json)


def _told(plan: RunPlan, rate_share: float) -> Iterator[str]:
    tally = plan.tally
    yield f"events    {plan.read:,} read, {tally.events:,} of them to take effect again"
    if tally.unreadable:
        yield f"          {tally.unreadable:,} can't be read: see `dead-letters list`"
    yield from tally.told_of_unmapped()
    yield f"contacts  {tally.contacts:,}"
    yield f"calls     {plan.upserts:,} for the contacts, {plan.timeline_calls:,} for the timeline"
    yield f"takes     {_duration(plan.takes.total_seconds())} at {rate_share:.0%} of the quota"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _finished(run: Run, opened: RunSession, plan: RunPlan, *, as_json: bool) -> int:
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
