"""`python -m producer debezium-config`: the configuration for Debezium as a replacement of the relay."""

import json
from typing import Annotated, Literal

import typer

from producer.debezium import Connector, NotForDebezium
from producer.settings import DebeziumSettings
from runtime.commands import read_settings, refuse


def debezium_config(  # noqa: PLR0913 - typer reads a command's options from its parameters
    show: Annotated[
        Literal["connector", "setup", "cleanup"],
        typer.Argument(help="The connector as JSON, the SQL to run once before it, or the SQL to run every hour."),
    ] = "connector",
    *,
    name: Annotated[
        str, typer.Option(help="Name of the connector, and part of the name of its heartbeat topic.")
    ] = Connector.name,
    slot: Annotated[
        str, typer.Option(help="Name of the replication slot, which the connector creates.")
    ] = Connector.slot,
    publication: Annotated[
        str, typer.Option(help="Name of the publication, which `setup` creates.")
    ] = Connector.publication,
    schema: Annotated[str, typer.Option(help="Schema of outbox_events.")] = Connector.schema,
    user: Annotated[
        str | None, typer.Option(help="User that Debezium logs in as; the default is DATABASE_URL's user.")
    ] = None,
    password: Annotated[
        str, typer.Option(help="Placeholder of Connect's config providers for the password.")
    ] = Connector.password,
) -> None:
    """Print the Debezium connector that replaces the relay, for Kafka Connect's REST interface.

    The password is never printed. The Connect worker has its own Kafka settings. Read docs/debezium.md first.
    """
    settings = read_settings(DebeziumSettings)
    url = settings.database_url.get_secret_value()
    try:
        connector = Connector(name, slot, publication, schema, user, password)
        match show:
            case "connector":
                partitions, replicas = settings.kafka_partitions, settings.kafka_replication_factor
                config = connector.config(url, settings.topics, partitions, replicas)
                print(json.dumps({"name": name, "config": config}, indent=2))
            case "setup":
                print(connector.setup_sql(url), end="")
            case "cleanup":
                print(connector.cleanup_sql(), end="")
    except NotForDebezium as error:
        refuse(str(error))
