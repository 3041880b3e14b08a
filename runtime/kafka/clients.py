"""aiokafka's clients of a process: what all of them do otherwise than aiokafka has it."""

from runtime.kafka.credentials.logins import log_in_anew
from runtime.kafka.patches.group_errors import heed_group_errors
from runtime.kafka.patches.header_names import read_any_header_names
from runtime.kafka.patches.other_brokers import ask_other_brokers
from runtime.kafka.patches.unpacking import limit_unpacking, return_large_blocks
from runtime.kafka.topics import never_create_topics


def prepare_clients(*, for_long: bool = True) -> None:
    """Make all clients of this process log in with the credentials of the moment, create no topic, begin anew in no
    group that Kafka still loads, ask a broker that is there, and read any record within a bound of memory, from now on.

    Memory of large blocks is given back *for_long*: a process that soon ends reads a sixth faster without that.
    """
    log_in_anew()
    never_create_topics()
    heed_group_errors()
    ask_other_brokers()
    read_any_header_names()
    limit_unpacking()
    if for_long:
        return_large_blocks()
