"""`python -m hubspot_consumer doctor`: its options, and the wiring of its checks."""

import asyncio
import logging
import os
import sys
from typing import Annotated

import typer

from hubspot_consumer.cli.progress import Display
from hubspot_consumer.doctor.environment import Environment, read_environment
from hubspot_consumer.doctor.examination import Finding, examine
from hubspot_consumer.doctor.kafka import KafkaChecks
from hubspot_consumer.doctor.last_probe import LastProbe
from hubspot_consumer.doctor.outbox import OutboxChecks
from hubspot_consumer.doctor.output import as_json_text, as_lines, exit_code, without_secrets
from hubspot_consumer.doctor.portal import PortalChecks
from hubspot_consumer.doctor.worker import WorkerChecks
from runtime import logs
from runtime.clock import SystemClock


def doctor(
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Make no call to HubSpot.")] = False,
    worker_url: Annotated[str, typer.Option(help="Where the worker answers, in place of DOCTOR_WORKER_URL.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check everything between the outbox and HubSpot, and say what is wrong and what to do.

    Writes nothing. Makes at most eight calls to HubSpot, spaced so that workers keep their quota. Checks the outbox if
    DATABASE_URL is set. Exits with 0 if all is well, with 1 for warnings, with 2 for failures.
    """
    # The findings are the output: log lines of the libraries that the checks use would clutter it.
    logs.set_up(level=logging.CRITICAL)
    logging.disable(logging.CRITICAL)
    environment = read_environment()
    findings = asyncio.run(_examine(environment, offline=offline, worker_url=worker_url))
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(as_json_text(findings) if as_json else as_lines(findings, coloured=coloured))
    raise SystemExit(exit_code(findings))


async def _examine(environment: Environment, *, offline: bool, worker_url: str) -> list[Finding]:
    groups = [
        environment.checks(),
        PortalChecks(environment, SystemClock(), offline=offline).checks(),
        LastProbe(environment, SystemClock()).checks(),
        KafkaChecks(environment).checks(),
        OutboxChecks(environment).checks(),
        WorkerChecks(environment, worker_url).checks(),
    ]
    with Display().progress("checks") as shown:
        findings = await examine(groups, shown)
    return without_secrets(findings, environment.settings.secrets)
