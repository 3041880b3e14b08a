"""The ending: how the worker, and the commands that are soon done, come to their exit codes."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from hubspot_consumer.assignment import UnequalAssignment
from hubspot_consumer.hubspot.provision import ProvisionRefused
from hubspot_consumer.new_topic import TopicNotCreated
from hubspot_consumer.portal import WrongPortal
from runtime.admission import KafkaAway, KafkaRefused
from runtime.commands import fail, refuse
from runtime.kafka_topics import UnequalPartitions
from runtime.logs import logger
from runtime.server import PortTaken

log = logger()


def run_service(work: Coroutine[Any, Any, None]) -> None:
    """Run *work*; exit with 2 where a setting is wrong and with 1 where something else is, saying what."""
    try:
        asyncio.run(work)
    except (WrongPortal, KafkaRefused) as error:
        refuse(str(error))
    except (KafkaAway, PortTaken, UnequalPartitions, UnequalAssignment, ProvisionRefused, TopicNotCreated) as error:
        fail(str(error))
    except Exception:
        log.exception("service.failed")
        raise SystemExit(1) from None
