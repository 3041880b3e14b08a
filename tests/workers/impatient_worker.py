"""The consumer, with seconds for what takes minutes: `python -m tests.impatient_worker worker`."""

from hubspot_consumer.__main__ import commands
from hubspot_consumer.worker import progress, service

service.READ_LAG_S = 1.0  # type: ignore[misc]
# Longer than the time between two looks at the lag, by a little.
progress.MOST_S = 3.0  # type: ignore[misc]

if __name__ == "__main__":
    commands(prog_name="python -m hubspot_consumer")
