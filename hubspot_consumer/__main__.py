"""`python -m hubspot_consumer`: the commands."""

from typing import Final

from runtime.program import program

CLI: Final = "hubspot_consumer.cli"
COMMANDS: Final = {
    "worker": (f"{CLI}.run_worker:worker", "Read the seven topics and deliver to HubSpot."),
    "suppress": (
        f"{CLI}.gates:suppress",
        "Never write a contact again, for a person who asked to be forgotten. Then delete the contact in HubSpot.",
    ),
    "doctor": (
        f"{CLI}.doctor:doctor",
        "Check everything between the outbox and HubSpot, and say what is wrong and what to do.",
    ),
    "provision": (
        f"{CLI}.portal.provision:provision",
        "Create the property group, properties and event definitions that the portal lacks; change and delete nothing.",
    ),
    "probe": (
        f"{CLI}.portal.probe:probe",
        "Ask the portal itself, with a test contact, whether HubSpot does what the consumer relies on.",
    ),
    "replay": (
        f"{CLI}.replay:replay",
        "Let past events take effect again, for example after a mapping was corrected or a portal was restored.",
    ),
    "resync": (
        f"{CLI}.resync:resync",
        "Let all events of one contact take effect again, and show what that changes.",
    ),
    "audit": (
        f"{CLI}.audit:audit",
        "Reconcile HubSpot with the topics: compare contacts property by property, and write nothing.",
    ),
    "redrive": (
        f"{CLI}.redrive:redrive",
        "Let dead letters take effect after all, once their cause is repaired.",
    ),
    "pause": (
        f"{CLI}.gates:pause",
        "Stop sending to HubSpot in all workers, until `resume`. Nothing is lost: events wait in Kafka.",
    ),
    "resume": (
        f"{CLI}.gates:resume",
        "Send again in all workers, at once: waiting events go out, each contact's in order.",
    ),
    "dead-letters": (
        f"{CLI}.dead_letters.commands:dead_letters",
        "Look at events that were set aside, correct and discard them. Needs only the KAFKA_* settings.",
    ),
}

commands = program(
    "Brings lifecycle events from Kafka to HubSpot. Settings are environment variables: see docs/settings.md.", COMMANDS
)

if __name__ == "__main__":
    commands(prog_name="python -m hubspot_consumer", obj="runtime.kafka.clients:prepare_clients")
