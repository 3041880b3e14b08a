"""`python -m hubspot_consumer probe`: its options, its output, and the wiring of a probe."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Final
from uuid import uuid4

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from hubspot_consumer.cli.exit_codes import run_to_its_end
from hubspot_consumer.cli.options import AsJson, RateShare
from hubspot_consumer.cli.progress import Display
from hubspot_consumer.gates.pause import SendingPaused, read_paused
from hubspot_consumer.holds.run import RunHolds
from hubspot_consumer.hubspot.connection import CallMade
from hubspot_consumer.hubspot_access import hubspot_client
from hubspot_consumer.kafka.lag import TopicsMissing
from hubspot_consumer.probe.question import Told
from hubspot_consumer.probe.result import keep_result, result_of
from hubspot_consumer.probe.run import MOST_CALLS, QUESTIONS, Report, run
from hubspot_consumer.probe.subject import EMAILS, Subject
from hubspot_consumer.settings import Settings, group_of
from runtime import logs
from runtime.clock import Clock, SystemClock
from runtime.commands import FAILED, read_settings, refuse
from runtime.kafka.admission import KafkaAway, KafkaRefused, ask_admission
from runtime.kafka.new_topics import TopicsNotReady

# The table's width where there is no terminal.
WIDTH: Final = 160
_LEVELS: Final[dict[Told, tuple[str, str]]] = {
    "as_expected": ("as expected", "green"),
    "differs": ("differs", "red"),
    "not_told": ("not told", "bright_black"),
}


def probe(
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Make the calls. Without it, only show what would be done.")
    ] = False,
    rate_share: RateShare = 0.2,
    as_json: AsJson = False,
) -> None:
    """Ask the portal itself, with a test contact, whether HubSpot does what the consumer relies on.

    Nobody can tell from outside what HubSpot does in your portal: this asks it, in about half a minute, and shows for
    each question what is expected, what was found, and what it means if that differs. Run it after `provision`, before
    the first live event, and whenever HubSpot has changed something. It can be run as often as you like.

    Creates a few contacts (nerava-probe@example.com and others that begin so) and a note, and deletes them at the end,
    also after a failure or Ctrl-C; the next probe deletes what a killed one left. The contacts stay in HubSpot's
    recycling bin for 90 days. Two custom events of one id are sent to a test contact, if the portal has their
    definition; HubSpot counts one. No property or event definition is created or changed. If the portal creates
    companies from its contacts' email domains, it may create one for example.com.

    Makes fewer than 60 calls, within its share of the quota, which running workers leave it. The result is kept on
    Kafka, where `doctor` finds it; without Kafka the probe runs all the same.

    Exits with 0 if nothing differs, with 1 if something differs or HubSpot did not answer, with 2 for wrong settings.
    """
    settings = read_settings(Settings)
    if settings.read_token() is None:
        refuse("HUBSPOT_PRIVATE_APP_TOKEN is not set: set it to the token of a private app, or a Service Key")
    if settings.hubspot_portal_id is None:
        refuse("HUBSPOT_PORTAL_ID is not set: the probe writes, and must know in which portal")
    if not yes:
        print(*_plan(settings), sep="\n")
        return
    logs.set_up(level=logging.ERROR, secrets=settings.secrets)
    work = partial(_probe, settings, settings.hubspot_portal_id, rate_share=rate_share, as_json=as_json)
    run_to_its_end(work, "probe", None, goes_on=False)


def _plan(settings: Settings) -> Iterator[str]:
    yield f"would ask portal {settings.hubspot_portal_id}, in at most {MOST_CALLS} calls:"
    width = max(len(question.name) for question in QUESTIONS)
    for question in QUESTIONS:
        yield f"  {question.name:<{width}}  {question.how}"
    yield f"with these test contacts, deleted at the end: {', '.join(EMAILS)}"
    yield "nothing was called: run again with --yes"


async def _probe(settings: Settings, portal_id: int, *, rate_share: float, as_json: bool) -> int:
    clock, calls, shown = SystemClock(), list[CallMade](), Display()
    client, limiter = hubspot_client(settings, clock, calls.append)
    limiter.divide(rate_share)
    subject = Subject(
        client.ask, client.paths, portal_id, settings.hubspot_timeline, clock, settings.hubspot_id_property
    )
    try:
        async with _beside_workers(settings, rate_share, clock, shown) as no_kafka:
            with shown.progress("questions") as progress:
                report = await run(subject, client.spent, progress)
            not_kept = no_kafka or await _kept(settings, report, portal_id)
    finally:
        await client.close()
    print(_as_json(report, settings, len(calls), not_kept) if as_json else _as_table(report, len(calls), not_kept))
    return exit_code(report)


@asynccontextmanager
async def _beside_workers(
    settings: Settings, rate_share: float, clock: Clock, shown: Display
) -> AsyncIterator[str | None]:
    """Enter when workers leave the probe its share of the quota; yield why nothing can be kept on Kafka, or None.

    Raises SendingPaused, AnotherRun and KafkaError.
    """
    if (no_kafka := await _why_no_kafka(settings)) is not None:
        # Workers that can't be asked see the calls in the headers of their own answers.
        yield no_kafka
        return
    if (paused := await read_paused(settings.client_options(), settings.topics.controls, clock)) is not None:
        raise SendingPaused(paused)
    name, group = f"probe-{uuid4().hex[:12]}", group_of(settings.consumer_group, "live")
    holds = RunHolds(settings, group, name, "probe", rate_share, clock, lambda why: shown.tell(f"waiting: {why}"))
    try:
        # Without topics there is no worker.
        with suppress(TopicsMissing):
            await holds.start()
        yield None
    finally:
        await holds.stop()


async def _why_no_kafka(settings: Settings) -> str | None:
    if not settings.kafka_bootstrap_servers:
        return "KAFKA_BOOTSTRAP_SERVERS is not set"
    try:
        await ask_admission(settings.client_options())
    except (KafkaAway, KafkaRefused) as why:
        return str(why)
    return None


async def _kept(settings: Settings, report: Report, portal_id: int) -> str | None:
    """Keep the result on Kafka; return why it could not be kept, or None."""
    try:
        await keep_result(settings, result_of(report, portal_id, settings.hubspot_api_version))
    except (KafkaError, OSError, TopicsNotReady) as why:
        return f"{type(why).__name__}: {why}"
    return None


def exit_code(report: Report) -> int:
    """Return 0 if nothing differs, all that can be told was told, and no test contact is left; 1 otherwise."""
    unwell = any(found.told == "differs" or found.try_again for _, found in report.found)
    return FAILED if unwell or report.left is not None else 0


def _as_json(report: Report, settings: Settings, calls: int, not_kept: str | None) -> str:
    told: dict[str, Any] = {
        "exit_code": exit_code(report),
        "at": report.at.isoformat(),
        "portal_id": settings.hubspot_portal_id,
        "api_version": settings.hubspot_api_version,
        "timeline": settings.hubspot_timeline,
        "calls": calls,
        "leftovers_deleted": report.leftovers,
        "left": report.left.detail if report.left else None,
        "not_kept": not_kept,
        "questions": [
            {
                "name": question.name,
                "expected": question.expected,
                "how": question.how,
                **asdict(found),
                "means": question.means if found.told == "differs" else "",
                "setting": question.setting if found.told == "differs" else "",
            }
            for question, found in report.found
        ],
    }
    return json.dumps(told, indent=2)


def _as_table(report: Report, calls: int, not_kept: str | None) -> str:
    """Return a row for each question, and below them what else there is to say."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH, no_color=True)
    found_column = Column("found", overflow="fold")
    table = Table("", "question", "expected", found_column, "what it means", padding=(0, 1, 1, 0), box=None)
    for question, found in report.found:
        level, colour = _LEVELS[found.told]
        means = question.means if found.told == "differs" else ""
        helps = f" ({question.setting})" if means and question.setting else ""
        # HubSpot's words are no markup of rich.
        table.add_row(
            Text(level, colour), question.name, Text(question.expected), Text(found.what), Text(means + helps)
        )
    with console.capture() as capture:
        console.print(table)
    return "\n".join([capture.get(), *_summary(report, calls, not_kept)])


def _summary(report: Report, calls: int, not_kept: str | None) -> Iterator[str]:
    numbers = {words: sum(found.told == told for _, found in report.found) for told, (words, _) in _LEVELS.items()}
    yield f"{', '.join(f'{number} {words}' for words, number in numbers.items())}; {calls} calls"
    if report.leftovers:
        yield f"{report.leftovers} test contacts that an earlier probe left are deleted"
    if report.left is not None:
        yield f"HubSpot may still have test contacts: run the probe again ({report.left.detail})"
    if not_kept is not None:
        yield f"the result is not kept for `doctor`: {not_kept}"
