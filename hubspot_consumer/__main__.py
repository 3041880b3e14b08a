"""`python -m hubspot_consumer`: the commands."""

import typer

from hubspot_consumer.cli.audit import audit
from hubspot_consumer.cli.dead_letters.commands import dead_letters
from hubspot_consumer.cli.doctor import doctor
from hubspot_consumer.cli.pause import pause, resume
from hubspot_consumer.cli.provision import provision
from hubspot_consumer.cli.redrive import redrive
from hubspot_consumer.cli.replay import replay
from hubspot_consumer.cli.resync import resync
from hubspot_consumer.cli.run_worker import worker
from hubspot_consumer.cli.suppress import suppress
from runtime.kafka.topics import never_create_topics

commands = typer.Typer(
    help="Brings lifecycle events from Kafka to HubSpot. Settings are environment variables: see docs/settings.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


for command in (worker, suppress, doctor, provision, replay, resync, audit, redrive, pause, resume):
    commands.command()(command)
commands.add_typer(dead_letters, name="dead-letters")

if __name__ == "__main__":
    never_create_topics()
    commands(prog_name="python -m hubspot_consumer")
