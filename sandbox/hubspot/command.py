"""The command of `python -m sandbox hubspot` and `python -m sandbox.hubspot`, which needs no Kafka or PostgreSQL."""

import asyncio
from typing import Annotated

import typer
import uvicorn

from hubspot_consumer.hubspot.schema import EMAIL
from runtime.program import VersionOption
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import PORTAL_ID, TOKEN, Portal
from sandbox.provisioned import provision


def hubspot(
    *,
    port: Annotated[int, typer.Option(help="Where it listens.")] = 8090,
    host: Annotated[str, typer.Option(help="On which address; 0.0.0.0 in a container.")] = "127.0.0.1",
    empty: Annotated[bool, typer.Option("--empty", help="A portal that was never provisioned.")] = False,
    id_property: Annotated[
        str, typer.Option(envvar="HUBSPOT_ID_PROPERTY", help="The unique property that it has for the contact key.")
    ] = EMAIL,
    version: VersionOption = False,  # noqa: ARG001 - the option's callback prints it and ends the program
) -> None:
    """Run the HubSpot simulator alone: a portal in memory, to be seen at /. Its test API is at /_simulator/docs."""
    portal = Portal(PORTAL_ID, [TOKEN])
    if not empty:
        asyncio.run(provision(portal, id_property))
    print(f"HUBSPOT_API_BASE_URL=http://127.0.0.1:{port}\nHUBSPOT_PORTAL_ID={PORTAL_ID}")
    print(f"HUBSPOT_PRIVATE_APP_TOKEN={TOKEN}", flush=True)
    uvicorn.run(simulator_app(portal), host=host, port=port, access_log=False, log_level="warning")
