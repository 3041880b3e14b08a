"""Debezium as a replacement of the relay: its connector's configuration and the SQL for it. See docs/debezium.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from schemas.events import EVENT_TYPES
from schemas.topics import Topics

# Heartbeats advance the slot while the outbox is idle and other tables fill the log.
HEARTBEAT_MS: Final = 10_000
POLL_INTERVAL_MS: Final = 50
# Published rows are kept as long as an outage may last unnoticed: a new slot takes its snapshot from them.
KEEP_HOURS: Final = 72

CONVERTER: Final = "org.apache.kafka.connect.storage.StringConverter"
TRANSFORM: Final = "org.apache.kafka.connect.transforms"
# Parameters with the same names in libpq and Debezium.
TLS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey")

SETUP: Final = """\
-- Once, by the owner of {table}. The server needs wal_level = logical, and better a max_slot_wal_keep_size
-- than a full disk: a slot that nobody reads keeps the log for ever.
-- CREATE ROLE {user} LOGIN REPLICATION PASSWORD '...';
GRANT USAGE ON SCHEMA {schema} TO {user};
GRANT SELECT ON {table} TO {user};
CREATE PUBLICATION {publication} FOR TABLE {table} WITH (publish = 'insert');
"""

# The slot's reader has confirmed all transactions that ended before catalog_xmin, so their rows are on Kafka.
CLEANUP: Final = """\
-- Every hour or so, by the owner of {table}: Debezium deletes nothing. Only what it has brought to Kafka goes,
-- so nothing does while the connector is dead or its slot is lost: a new slot begins with what is here.
DELETE FROM {table} AS event USING pg_replication_slots AS slot
WHERE slot.slot_name = '{slot}' AND slot.active AND slot.wal_status IN ('reserved', 'extended')
    AND age(event.xmin) > age(slot.catalog_xmin) AND event.created_at < now() - interval '{hours} hours';
"""


class NotForDebezium(ValueError):
    """Debezium can't work with these settings. The message names the faulty one."""


@dataclass(frozen=True)
class Connector:
    """The names of the connector and of what it reads. Raises NotForDebezium for invalid names.

    `password` is a placeholder that Kafka Connect replaces.
    """

    name: str = "lifecycle-outbox"
    slot: str = "lifecycle_outbox"
    publication: str = "lifecycle_outbox"
    schema: str = "public"
    user: str | None = None
    password: str = "${env:DATABASE_PASSWORD}"  # noqa: S105 - a placeholder

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", self.name):
            raise NotForDebezium("--name: is part of a topic's name: letters, digits, dots, hyphens and underscores")
        if not re.fullmatch(r"[a-z0-9_]{1,63}", self.slot):
            raise NotForDebezium("--slot: PostgreSQL takes lower-case letters, digits and underscores, 63 at the most")
        if not re.fullmatch(r"\$\{[^{}:]+:[^{}]+\}", self.password):
            raise NotForDebezium("--password: should be a placeholder that Connect fills in, such as ${env:NAME}")

    def config(self, database_url: str, topics: Topics, partitions: int = 12, replicas: int = 1) -> dict[str, str]:
        """Return the connector's configuration. Its records equal the relay's byte for byte. Raises NotForDebezium."""
        return {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            **self._database(conninfo_to_dict(database_url)),
            **self._reading(),
            **_records(topics, self.name),
            # Options of the heartbeat's topic, which `producer topics` does not create.
            "topic.creation.default.partitions": str(partitions),
            "topic.creation.default.replication.factor": str(replicas),
        }

    def setup_sql(self, database_url: str) -> str:
        """Return the SQL that creates the publication and grants the user read access. Raises NotForDebezium."""
        return SETUP.format(
            table=self._table,
            schema=_quoted(self.schema),
            user=_quoted(self._user(conninfo_to_dict(database_url))),
            publication=_quoted(self.publication),
        )

    def cleanup_sql(self, hours: int = KEEP_HOURS) -> str:
        """Return the SQL that deletes the rows that are on Kafka and older than *hours*."""
        return CLEANUP.format(table=self._table, slot=self.slot, hours=hours)

    @property
    def _table(self) -> str:
        return f"{_quoted(self.schema)}.outbox_events"

    def _user(self, url: Mapping[str, Any]) -> str:
        user: str | None = self.user or url.get("user")
        if not user:
            raise NotForDebezium("DATABASE_URL: names no user; name Debezium's by --user")
        return user

    def _database(self, url: Mapping[str, Any]) -> dict[str, str]:
        host = str(url.get("host") or url.get("hostaddr") or "")
        if not host or host.startswith(("/", "@")):
            raise NotForDebezium("DATABASE_URL: names no host; Debezium reaches PostgreSQL by TCP alone")
        if "," in host:
            raise NotForDebezium("DATABASE_URL: names several hosts; Debezium takes one, which leads to the primary")
        return {
            "database.hostname": host,
            "database.port": str(url.get("port") or 5432),
            "database.dbname": url.get("dbname") or self._user(url),
            "database.user": self._user(url),
            "database.password": self.password,
            **{f"database.{name}": str(url[name]) for name in TLS if name in url},
        }

    def _reading(self) -> dict[str, str]:
        table = f"{self.schema}.outbox_events"
        rows = f"SELECT * FROM {self._table} ORDER BY position"  # noqa: S608 - an identifier, quoted
        return {
            "plugin.name": "pgoutput",
            "slot.name": self.slot,
            "publication.name": self.publication,
            # The table's owner creates the publication, for inserts only: deletions are not sent.
            "publication.autocreate.mode": "disabled",
            "table.include.list": re.escape(table),
            # A new slot misses earlier rows, so all existing rows are read first. Repeated records are harmless.
            "snapshot.mode": "when_needed",
            "snapshot.select.statement.overrides": table,
            f"snapshot.select.statement.overrides.{table}": rows,
            # The connector's latency; the default is 500.
            "poll.interval.ms": str(POLL_INTERVAL_MS),
            "heartbeat.interval.ms": str(HEARTBEAT_MS),
            # A heartbeat alone does not advance the slot: it needs a message from the log. This query needs no table.
            "heartbeat.action.query": "SELECT pg_logical_emit_message(false, 'heartbeat', '')",
        }


def _records(topics: Topics, name: str) -> dict[str, str]:
    """Return the options that turn a row into the record of the contract.

    The router writes a null as a header without a value, where the contract has no header. So traceparent is sent as
    the value and the payload as a header; then the header of a record without a value is dropped, and the payload
    becomes the value again.
    """
    known = "|".join(EVENT_TYPES)
    return {
        "topic.prefix": name,
        "key.converter": CONVERTER,
        "value.converter": CONVERTER,
        "header.converter": CONVERTER,
        "extended.headers.enabled": "false",
        # Under load the statistics log thousands of warnings that they can't keep up.
        "statistics.metrics.enabled": "false",
        "predicates": "beat,event,untraced,unknown",
        **_predicate("beat", "TopicNameMatches", pattern=f"{re.escape(name)}\\.message"),
        **_predicate("event", "HasHeaderKey", name="id"),
        **_predicate("untraced", "RecordIsTombstone"),
        **_predicate("unknown", "TopicNameMatches", pattern=re.escape(topics.dead_letters)),
        "transforms": "beat,outbox,unknown,reason,detail,untraced,hoist,restore,value",
        **_transform("beat", f"{TRANSFORM}.Filter", "beat"),
        **_transform(
            "outbox",
            "io.debezium.transforms.outbox.EventRouter",
            **{
                "route.by.field": "type",
                "route.topic.replacement": f"{topics.prefix}${{routedByValue}}",
                # table.expand.json.payload must stay off: it loses nulls, empty lists and digits, and then stops the
                # task.
                "table.field.event.payload": "traceparent",
                "table.fields.additional.placement": "type:header:type,sequence:header:sequence,"
                "traceparent:header:traceparent,payload:header:payload",
            },
        ),
        **_transform(
            "unknown",
            f"{TRANSFORM}.RegexRouter",
            "event",
            regex=rf"(?!{re.escape(topics.prefix)}(?:{known})\z)[\s\S]*",
            replacement=topics.dead_letters,
        ),
        **_insert("reason", "unknown_event_type"),
        **_insert("detail", "no topic takes a row of this type"),
        **_transform("untraced", f"{TRANSFORM}.DropHeaders", "untraced", headers="traceparent"),
        **_transform("hoist", f"{TRANSFORM}.HoistField$Value", "event", field="traceparent"),
        **_transform(
            "restore",
            "io.debezium.transforms.HeaderToValue",
            "event",
            headers="payload",
            fields="payload",
            operation="move",
        ),
        **_transform("value", f"{TRANSFORM}.ExtractField$Value", "event", field="payload"),
    }


def _predicate(name: str, kind: str, /, **options: str) -> dict[str, str]:
    options["type"] = f"{TRANSFORM}.predicates.{kind}"
    return {f"predicates.{name}.{option}": value for option, value in options.items()}


def _transform(name: str, kind: str, predicate: str | None = None, /, **options: str) -> dict[str, str]:
    options = {"type": kind, **options, **({"predicate": predicate} if predicate else {})}
    return {f"transforms.{name}.{option}": value for option, value in options.items()}


def _insert(name: str, value: str) -> dict[str, str]:
    return _transform(
        name, f"{TRANSFORM}.InsertHeader", "unknown", **{"header": f"dead_letter.{name}", "value.literal": value}
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
