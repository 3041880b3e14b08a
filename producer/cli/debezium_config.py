"""`python -m producer debezium-config`: what puts Debezium in the relay's place."""

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
        str, typer.Option(help="Of the connector; its heartbeats' topic is named after it.")
    ] = Connector.name,
    slot: Annotated[str, typer.Option(help="Of the replication slot, which the connector makes.")] = Connector.slot,
    publication: Annotated[str, typer.Option(help="Which `setup` makes.")] = Connector.publication,
    schema: Annotated[str, typer.Option(help="Where outbox_events is.")] = Connector.schema,
    user: Annotated[str | None, typer.Option(help="Whom Debezium logs in as, if not DATABASE_URL's user.")] = None,
    password: Annotated[
        str, typer.Option(help="Where Connect finds the password: a placeholder of its config providers.")
    ] = Connector.password,
) -> None:
    """Print what puts Debezium in the relay's place: its connector, for Kafka Connect's REST interface.

    The password is never printed. How to reach Kafka is for the Connect worker to know. The traps: docs/debezium.md.
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
