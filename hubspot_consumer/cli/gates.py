"""`python -m hubspot_consumer pause`, `resume` and `suppress`: stop sending to HubSpot, everything or one contact.

Each of them writes a record on Kafka that all workers follow.
"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from hubspot_consumer.cli.options import contact
from hubspot_consumer.gates.pause import Pause, publish_pause, read_paused
from hubspot_consumer.gates.suppressions import set_suppressed
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.clock import SystemClock
from runtime.commands import read_settings, refuse, run_service
from runtime.kafka.admission import ask_admission
from schemas.contacts import contact_hash, masked

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
# Limit in characters: the note is shown in one line, and in the console's banner.
LONGEST_WORDS = 300


def pause(
    *,
    note: Annotated[str, typer.Option(help="Why; people on call read it in /v1/status.", show_default=False)],
    by: Annotated[str, typer.Option(help="Who pauses sending; /v1/status and the log show it.")] = "",
    dry_run: DryRun = False,
) -> None:
    """Stop sending to HubSpot in all workers, until `resume`. Nothing is lost: events wait in Kafka.

    Use it for an import in HubSpot, or while a mapping is corrected. Workers stop within two seconds; calls under way
    end normally. A paused worker is healthy, shows `paused` in /v1/status, makes no call and sets no event aside.
    Workers that start later are paused too. Replay, redrive, resync and audit refuse to start.

    If sending is already paused, the new note replaces the old one.
    """
    for option, words in (("--note", note), ("--by", by)):
        if len(words) > LONGEST_WORDS:
            refuse(f"{option} should have at most {LONGEST_WORDS} characters")
    if not note.strip():
        refuse("--note is empty: say why, for people on call")
    _run(Pause(at=datetime.now(UTC), by=by.strip(), note=note.strip()), dry_run=dry_run)


def resume(*, dry_run: DryRun = False) -> None:
    """Send again in all workers, at once: waiting events go out, each contact's in order.

    If something else halts sending too, such as a refused token, one call tries whether that is over. Sending stays
    halted until it is. A halt for too many dead letters ends: as many again may be set aside.
    """
    _run(None, dry_run=dry_run)


def _run(pause: Pause | None, *, dry_run: bool) -> None:
    run_service(_publish(_settings("a pause is a record on Kafka"), pause, dry_run=dry_run))


async def _publish(settings: Settings, pause: Pause | None, *, dry_run: bool) -> None:
    kafka, topic = settings.client_options(), settings.topics.controls
    await ask_admission(kafka)
    paused = await read_paused(kafka, topic, SystemClock())
    print(f"sending was paused since {paused}" if paused else "sending was not paused")
    if pause is None and paused is None:
        return
    if not dry_run:
        await publish_pause(settings, pause)
    would = "would be " if dry_run else ""
    print(f"sending {would}{'paused' if pause else 'resumed'} in all workers that follow {topic}")


def suppress(
    email: Annotated[str, typer.Argument(help="Email of the contact that must never be written again.")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Take the email off the list.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Never write a contact again, for a person who asked to be forgotten. Then delete the contact in HubSpot.

    HubSpot does not stop an API call from creating a deleted contact again. The list is a topic of hashes that all
    workers follow. They acknowledge and count the contact's events, and do not send them.
    """
    settings = _settings("the list is on Kafka")
    key = contact("EMAIL", email)
    words = "off the list" if undo else "on the list: its events will not be sent"
    if not dry_run:
        run_service(set_suppressed(settings, key, suppressed=not undo))
    where = f"{masked(key)}, as {contact_hash(key)}… in {settings.topics.suppressions}"
    print(f"{'would be ' if dry_run else ''}{words}: {where}")


def _settings(why: str) -> Settings:
    """Return the settings, and set up the logs; exit with 2 without Kafka, with the reason *why* it is needed."""
    settings = read_settings(Settings)
    if not settings.kafka_bootstrap_servers:
        refuse(f"KAFKA_BOOTSTRAP_SERVERS is not set: {why}: host:port,host:port")
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    return settings
