"""Functions that the reprocessing commands share: they read the settings, open a run, and do its work in a session."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from hubspot_consumer.cli.exit_codes import run_to_its_end
from hubspot_consumer.cli.progress import Display, display
from hubspot_consumer.reprocessing.run import CannotOpen, Run
from hubspot_consumer.reprocessing.session import RunSession
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.commands import read_settings, refuse

Work = Callable[[RunSession, Display], Awaitable[int]]
"""The work of a command in an open session, which returns the exit code."""


def settings_of_run(*, dry_run: bool) -> Settings:
    """Return the settings, and set up the logs.

    Exits with 2 if the settings do not allow reading from Kafka, or, unless *dry_run*, writing to HubSpot.
    """
    settings = read_settings(Settings)
    if not settings.kafka_bootstrap_servers:
        refuse("KAFKA_BOOTSTRAP_SERVERS is not set: host:port,host:port")
    if not dry_run and settings.mode != "live":
        refuse(
            "HUBSPOT_SEND_LIVE is not true, so nothing may be written: set HUBSPOT_ENABLED=true and "
            "HUBSPOT_SEND_LIVE=true, or say --dry-run to see what would be"
        )
    logs.set_up(level=logging.WARNING, secrets=settings.secrets)
    return settings


def open_run(folder: Path, name: str, asked: dict[str, Any], *, fresh: bool) -> Run:
    """Begin or continue a run; exit with 2 if that is not possible."""
    try:
        return Run.open(folder, name, asked, datetime.now(UTC), fresh=fresh)
    except CannotOpen as error:
        refuse(str(error))


def work_in_session(  # noqa: PLR0913 - the options that the commands share
    work: Work,
    command: str,
    settings: Settings,
    run: Run,
    *,
    rate_share: float,
    progress_as: str,
    timeline: bool = True,
    goes_on: bool = False,
) -> NoReturn:
    """Do *work* in a session of *run*, and exit with the exit code that it returns."""
    with display(progress_as) as shown:

        async def in_session() -> int:
            async with AsyncExitStack() as opened:
                session = RunSession(settings, run, command, rate_share, timeline=timeline, opened=opened)
                return await work(session, shown)

        run_to_its_end(in_session, command, settings, goes_on=goes_on)
