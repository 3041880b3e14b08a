"""aiokafka's clients of a process: what all of them do otherwise than aiokafka has it."""

from runtime.kafka.header_names import read_any_header_names
from runtime.kafka.topics import never_create_topics
from runtime.kafka.unpacking import limit_unpacking


def prepare_clients() -> None:
    """Make all clients of this process create no topic, read any record, and unpack none without a limit."""
    never_create_topics()
    read_any_header_names()
    limit_unpacking()
