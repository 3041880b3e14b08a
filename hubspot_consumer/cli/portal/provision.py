"""`python -m hubspot_consumer provision`: show or create the definitions that the portal lacks."""

from pathlib import Path
from typing import Annotated

import typer

from hubspot_consumer.cli.options import Folder, Fresh, RateShare
from hubspot_consumer.cli.portal.backfill import backfill
from hubspot_consumer.cli.progress import ProgressAs
from hubspot_consumer.hubspot_access import hubspot_client
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.provisioning.provision import Provision, ProvisionRefused
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.clock import SystemClock
from runtime.commands import FAILED, read_settings, refuse, run_service


def provision(  # noqa: PLR0913 - the options of the command
    *,
    apply: Annotated[bool, typer.Option("--apply/--dry-run", help="Write what is missing, or only show it.")] = False,
    filling: Annotated[
        bool,
        typer.Option("--backfill", help="Instead write the property of HUBSPOT_ID_PROPERTY to contacts that lack it."),
    ] = False,
    rate_share: RateShare = 0.3,
    fresh: Fresh = False,
    folder: Folder = Path(".reprocessing"),
    progress_as: ProgressAs = "bars",
) -> None:
    """Create the property group, properties and event definitions that the portal lacks; change and delete nothing.

    Gives each event definition without a card the card that the timeline shows; one that you changed stays. Names those
    that exist and differ, which you change by hand; exits with 1 then.

    With --backfill: HubSpot's search lists the contacts that have a contact key. Those without it in the property of
    HUBSPOT_ID_PROPERTY are found by email, held, and get it. Workers continue with the rest of the quota, and need not
    have the setting yet. After Ctrl-C or a crash, the same command continues; the options below are for this.
    """
    if filling:
        backfill(apply=apply, rate_share=rate_share, fresh=fresh, folder=folder, progress_as=progress_as)
    settings = read_settings(Settings)
    if settings.read_token() is None:
        refuse("HUBSPOT_PRIVATE_APP_TOKEN is not set: set it to the token of a private app, or a Service Key")
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    run_service(_provision(settings, apply=apply))


async def _provision(settings: Settings, *, apply: bool) -> None:
    client, _ = hubspot_client(settings, SystemClock(), Telemetry().call)
    try:
        if not await _provisioned(settings, Provision(client), apply=apply):
            raise SystemExit(FAILED)
    finally:
        await client.close()


async def _provisioned(settings: Settings, provision: Provision, *, apply: bool) -> bool:
    plan = await provision.plan(custom_events=settings.hubspot_timeline in ("auto", "custom_events"))
    for mismatch in plan.mismatches:
        print(f"differs   {mismatch.what}: {mismatch.remedy}")
    if plan.no_custom_events:
        print(f"refused   custom events: the timeline gets notes or nothing ({plan.no_custom_events})")
    refused = False
    for missing in plan.missing:
        try:
            if apply:
                await provision.create(missing)
            print(f"{'created' if apply else 'missing'}   {missing.what}")
        except ProvisionRefused as error:
            # The loop continues, because the portal may allow the others.
            # Without its card, the timeline shows an event as HubSpot does of itself.
            refused = refused or missing.method != "PATCH"
            print(f"refused   {error}")
    if not plan.missing:
        print("the portal lacks nothing")
    elif not apply:
        print(f"{len(plan.missing)} to create: run again with --apply")
    lacks_its_timeline = plan.no_custom_events and settings.hubspot_timeline == "custom_events"
    return not (plan.mismatches or refused or lacks_its_timeline)
