"""`python -m hubspot_consumer replay`: its options and its output."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from hubspot_consumer.cli.options import AsJson, Folder, Fresh, RateShare, Yes, agreed, can_ask, known_types, moment
from hubspot_consumer.cli.progress import Display, ProgressAs
from hubspot_consumer.cli.runs import open_run, settings_of_run, work_in_session
from hubspot_consumer.history.plan import RunPlan
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.reprocessing.resumable_writing import write_all
from hubspot_consumer.reprocessing.session import RunSession
from runtime.commands import refuse


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
    folder: Folder = Path(".reprocessing"),
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
    settings = settings_of_run(dry_run=dry_run)
    if bool(since) == from_earliest:
        refuse("pass either --since or --from-earliest")
    can_ask(needed=not (yes or dry_run))
    topics = frozenset(settings.topics.of(name) for name in known_types(event_type))
    # Wrong times exit here, before a file is created in the folder.
    _selection(since, until, topics, datetime.now(UTC))
    # The options are compared as text: an age such as 24h is another time on each call.
    asked = {"since": since, "until": until, "event_types": sorted(event_type or []), "timeline": timeline}
    run = open_run(folder, "plan" if dry_run else "replay", asked, fresh=fresh or dry_run)
    # Ages are relative to the start of the run, so a run from yesterday continues with yesterday's times.
    selection = _selection(since, until, topics, run.began)
    work = partial(_replay, selection=selection, dry_run=dry_run, yes=yes, as_json=as_json)
    work_in_session(
        work, "replay", settings, run, rate_share=rate_share, progress_as=progress_as, timeline=timeline, goes_on=True
    )


def _selection(since: str, until: str, topics: frozenset[str], now: datetime) -> Selection:
    return Selection(
        moment("--since", since, now) if since else None, moment("--until", until, now) if until else None, topics
    )


async def _replay(  # noqa: PLR0913 - the options of the command
    session: RunSession, display: Display, *, selection: Selection, dry_run: bool, yes: bool, as_json: bool
) -> int:
    run = session.run
    if not dry_run:
        await session.keep_off_while_paused()
    if run.resumed:
        display.tell(f"continuing the replay of {run.began:%Y-%m-%d %H:%M:%S} UTC", resumed=run.began.isoformat())
    began = time.monotonic()
    with display.progress("read") as shown:
        projections = await session.projections(selection, shown)
    read_s = time.monotonic() - began
    display.begin("plan")
    plan = await session.plan(projections)
    plan_s = time.monotonic() - began
    display.tell(*_lines_of_plan(plan, session.rate_share), plan=plan.as_json())
    if dry_run or not agreed("Write that?", yes=yes):
        run.close(keep=False)
        if dry_run and as_json:
            times = {"read_s": round(read_s, 2), "read_and_folded_s": round(plan_s, 2)}
            print(json.dumps({"plan": plan.as_json(), **times}))
        else:
            print(f"nothing was written{': it was a dry run' if dry_run else ''}")
        return 0
    # The progress shows the part also while the portal is asked.
    with display.progress("contacts") as shown:
        async with session.access(projections) as access:
            await write_all(
                run,
                projections,
                access,
                session.report,
                session.clock,
                progress=lambda finished: shown(finished, plan.tally.contacts),
            )
    await session.resolve_redriven()
    report = {
        "run": run.id,
        "began": run.began.isoformat(),
        "took_s": round((datetime.now(UTC) - run.began).total_seconds(), 1),
        "plan": plan.as_json(),
        **session.report.as_json(),
    }
    path = run.finish(report)
    print(json.dumps(report, indent=2) if as_json else "\n".join(_summary(report, path)))
    return 1 if session.report.refused else 0


def _lines_of_plan(plan: RunPlan, rate_share: float) -> Iterator[str]:
    tally = plan.tally
    yield f"events    {plan.read:,} read, {tally.events:,} of them to take effect again"
    if tally.unreadable:
        yield f"          {tally.unreadable:,} can't be read: see `dead-letters list`"
    yield from tally.lines_of_unmapped()
    yield f"contacts  {tally.contacts:,}"
    yield f"calls     {plan.upserts:,} for the contacts, {plan.timeline_calls:,} for the timeline"
    yield f"takes     {_duration(plan.takes.total_seconds())} at {rate_share:.0%} of the quota"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _summary(report: dict[str, Any], path: Path) -> Iterator[str]:
    yield f"{report['contacts_written']:,} contacts written, {report['timeline_entries']:,} timeline entries left"
    for name in ("contacts_suppressed", "contacts_moved"):
        if report[name]:
            yield f"{report[name]:,} {name.replace('_', ' ')}"
    for refused in report["refused"]:
        what = f"{refused['event_type']} of " if "event_type" in refused else ""
        yield f"refused: {what}{refused['contact']}: {refused['detail']}"
    yield f"took {_duration(report['took_s'])}, {sum(report['calls'].values()):,} calls; the report is {path}"
