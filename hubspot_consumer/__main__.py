"""`python -m hubspot_consumer`: the commands."""

from typing import Final

from runtime.program import program

CLI: Final = "hubspot_consumer.cli"
COMMANDS: Final = {
    "worker": (f"{CLI}.run_worker:worker", "Read the seven topics and deliver to HubSpot."),
    "suppress": (
        f"{CLI}.suppress:suppress",
        "Never write a contact again: for whoever asked to be forgotten, before you delete the contact in HubSpot.",
    ),
    "doctor": (
        f"{CLI}.doctor:doctor",
        "Look at everything between the outbox and HubSpot, and say what is wrong and what to do.",
    ),
    "provision": (
        f"{CLI}.provision:provision",
        "Create the property group, properties and event definitions that the portal lacks; change and delete nothing.",
    ),
    "replay": (
        f"{CLI}.replay:replay",
        "Let events take effect again: after a mapping was mended, an outage, or a portal that was restored.",
    ),
    "resync": (
        f"{CLI}.resync:resync",
        "Let all events of one contact take effect again, and show what that changes.",
    ),
    "audit": (
        f"{CLI}.audit:audit",
        "Compare what the topics come to with what HubSpot holds, property by property; write nothing.",
    ),
    "redrive": (
        f"{CLI}.redrive:redrive",
        "Let dead letters take effect after all, once what they died of is mended.",
    ),
    "pause": (
        f"{CLI}.pause:pause",
        "Send nothing to HubSpot any more, in all workers, until `resume`. Nothing is lost: events wait in Kafka.",
    ),
    "resume": (
        f"{CLI}.pause:resume",
        "Send again, in all workers, at once: what waits goes out, each contact's events in their order.",
    ),
    "dead-letters": (
        f"{CLI}.dead_letters.commands:dead_letters",
        "Events that were set aside: look at them, and settle them. Needs the KAFKA_* settings alone.",
    ),
}

commands = program(
    "Brings lifecycle events from Kafka to HubSpot. Settings come from the environment: see the README.", COMMANDS
)

if __name__ == "__main__":
    commands(prog_name="python -m hubspot_consumer", obj="runtime.kafka.topics:never_create_topics")
