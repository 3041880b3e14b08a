"""`python -m hubspot_consumer provision --backfill`: fill the property of HUBSPOT_ID_PROPERTY."""

from functools import partial
from pathlib import Path
from typing import NoReturn

from hubspot_consumer.cli.progress import Display
from hubspot_consumer.cli.runs import open_run, settings_of_run, work_in_session
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.reprocessing.backfill import Backfill
from hubspot_consumer.reprocessing.run import Run, temporary_run
from hubspot_consumer.reprocessing.session import RunSession
from runtime.commands import FAILED, refuse
from schemas.contacts import masked


def backfill(*, apply: bool, rate_share: float, fresh: bool, folder: Path, progress_as: str) -> NoReturn:
    """Write the property to the contacts that lack it, or count them; exit with 1 if HubSpot refuses one."""
    settings = settings_of_run(dry_run=False)
    if settings.hubspot_id_property == EMAIL:
        refuse("HUBSPOT_ID_PROPERTY is email, which every contact has: set it to the property that is to be filled")

    def begin(run: Run) -> NoReturn:
        work_in_session(
            partial(_backfill, apply=apply),
            "provision --backfill",
            settings,
            run,
            rate_share=rate_share,
            progress_as=progress_as,
            timeline=False,
            goes_on=apply,
        )

    if apply:
        begin(open_run(folder, "backfill", {"id_property": settings.hubspot_id_property}, fresh=fresh))
    with temporary_run("backfill") as run:
        begin(run)


async def _backfill(session: RunSession, display: Display, *, apply: bool) -> int:
    if session.run.resumed:
        display.tell(f"continuing the backfill of {session.run.began:%Y-%m-%d %H:%M:%S} UTC")
    with display.progress("contacts") as shown:
        async with session.hubspot() as at:
            filling = Backfill(at, session.run, session.report, session.clock)
            await filling.run(shown, apply=apply)
    report, name = session.report, at.client.id_property
    print(f"{filling.listed:,} contacts have a contact key, and {filling.lacking:,} of them lacked it as their {name}")
    if not apply:
        print("nothing was written: run it again with --apply" if filling.lacking else "there is nothing to write")
        return 0
    for refused in report.refused:
        print(f"refused: {masked(refused.contact)}: {refused.detail}")
    if report.contacts_suppressed:
        print(f"{report.contacts_suppressed:,} contacts are suppressed, and were left as they are")
    path = session.run.finish({"listed": filling.listed, "lacking": filling.lacking, **report.as_json()})
    print(f"{report.contacts_written:,} contacts written; the report is {path}")
    return FAILED if report.refused else 0
