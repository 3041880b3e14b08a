"""`python -m hubspot_consumer suppress`: put a contact on the suppression list, or take it off."""

from typing import Annotated

import typer

from hubspot_consumer.cli.options import contact
from hubspot_consumer.gates.suppressions import hash_of, set_suppressed
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.commands import read_settings, refuse, run_service
from schemas.contacts import masked


def suppress(
    email: Annotated[str, typer.Argument(help="Email of the contact that must never be written again.")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Take the email off the list.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
) -> None:
    """Never write a contact again, for a person who asked to be forgotten. Then delete the contact in HubSpot.

    HubSpot does not stop an API call from creating a deleted contact again. The list is a topic of hashes that all
    workers follow. They acknowledge and count the contact's events, and do not send them.
    """
    settings = read_settings(Settings)
    if not settings.kafka_bootstrap_servers:
        refuse("KAFKA_BOOTSTRAP_SERVERS is not set: the list is on Kafka: host:port,host:port")
    key = contact("EMAIL", email)
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    words = "off the list" if undo else "on the list: its events will not be sent"
    if not dry_run:
        run_service(set_suppressed(settings, key, suppressed=not undo))
    where = f"{masked(key)}, as {hash_of(key)[:12]}… in {settings.topics.suppressions}"
    print(f"{'would be ' if dry_run else ''}{words}: {where}")
