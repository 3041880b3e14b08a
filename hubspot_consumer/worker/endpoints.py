"""The HTTP endpoints: health for load balancers, status for people, metrics for Prometheus."""

from fastapi import FastAPI

from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.worker.status import Status
from runtime.server import application


def endpoints(status: Status, telemetry: Telemetry) -> FastAPI:
    """Return the application; its responses contain no email and no secret."""
    telemetry.shows(status.report)
    return application(
        "HubSpot consumer",
        unwell=status.unwell,
        also=lambda: {"mode": status.mode} | ({"quota_lent": status.lent} if status.lent else {}),
        metrics=telemetry.registry,
        status=status.report,
        halted=status.halted_parts,
        stuck=status.stuck,
    )
