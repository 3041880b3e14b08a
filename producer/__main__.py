"""`python -m producer`: the commands."""

from typing import Final

from runtime.program import program

CLI: Final = "producer.cli"
COMMANDS: Final = {
    "migrate": (
        f"{CLI}.migrate:migrate",
        "Create or update the outbox's tables and functions in DATABASE_URL. Does nothing where they are up to date.",
    ),
    "topics": (
        f"{CLI}.topics:topics",
        "Create the topics that Kafka lacks, one for each event type and one for the dead letters; verify the others.",
    ),
    "relay": (
        f"{CLI}.services:relay",
        "Publish what is in the outbox to Kafka, until SIGTERM. Several may run: one is active, the others stand by.",
    ),
    "serve": (
        f"{CLI}.services:serve",
        "Run the relay, and answer /v1/health, /v1/health/live and /metrics on PRODUCER_PORT.",
    ),
    "import-outbox": (
        "producer.old_outbox.command:import_outbox",
        "Track what the old worker left unprocessed in its table, in DATABASE_URL, as events of now, in order.",
    ),
    "debezium-config": (
        f"{CLI}.debezium_config:debezium_config",
        "Print what puts Debezium in the relay's place: its connector, for Kafka Connect's REST interface.",
    ),
}

commands = program(
    "Brings events from the outbox in PostgreSQL to Kafka. Settings come from the environment: see the README.",
    COMMANDS,
)

if __name__ == "__main__":
    commands(prog_name="python -m producer", obj="runtime.kafka.topics:never_create_topics")
