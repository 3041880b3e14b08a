"""`python -m producer`: the commands."""

from typing import Final

from runtime.program import program

CLI: Final = "producer.cli"
COMMANDS: Final = {
    "migrate": (
        f"{CLI}.migrate:migrate",
        "Create or update the outbox's tables and functions in DATABASE_URL. Does nothing if they are up to date.",
    ),
    "grants": (
        f"{CLI}.grants:grants",
        "Print the SQL that gives each role what it needs of the outbox, and takes all else from it and from PUBLIC.",
    ),
    "topics": (
        f"{CLI}.topics:topics",
        "Create missing topics, those of the consumer and the console too; verify the others.",
    ),
    "relay": (
        f"{CLI}.services:relay",
        "Publish the outbox to Kafka, until SIGTERM. Several relays may run: one is active, the others stand by.",
    ),
    "serve": (
        f"{CLI}.services:serve",
        "Run the relay, and answer /v1/health, /v1/health/live and /metrics on PRODUCER_PORT.",
    ),
    "import-outbox": (
        "producer.old_outbox.command:import_outbox",
        "Import the rows that the old worker left unprocessed in its table in DATABASE_URL, in order.",
    ),
    "recover": (
        f"{CLI}.recover:recover",
        "After a restore: raise each contact's sequence and totals to those of its newest event on Kafka.",
    ),
    "debezium-config": (
        f"{CLI}.debezium_config:debezium_config",
        "Print the Debezium connector that replaces the relay, for Kafka Connect's REST interface.",
    ),
}

commands = program(
    "Brings events from the outbox to Kafka. Settings are environment variables: see docs/settings.md.",
    COMMANDS,
)

if __name__ == "__main__":
    commands(prog_name="python -m producer", obj="runtime.kafka.clients:prepare_clients")
