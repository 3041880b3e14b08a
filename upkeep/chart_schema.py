"""The schema of the Helm chart's values: the settings in it are those of the settings' classes."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from console.settings import Settings as ConsoleSettings
from hubspot_consumer.settings import Settings as ConsumerSettings
from producer.settings import Settings as ProducerSettings
from runtime.kafka.connection import KafkaConnection
from runtime.settings import ServiceSettings, is_secret

COMMON: Final = {**KafkaConnection.model_fields, **ServiceSettings.model_fields}
SERVICES: Final[Mapping[str, Mapping[str, FieldInfo]]] = {
    "all": COMMON,
    "producer": ProducerSettings.model_fields,
    "consumer": ConsumerSettings.model_fields,
    "console": ConsoleSettings.model_fields,
}
# The chart's templates set these, or rely on their defaults.
OF_THE_CHART: Final = frozenset(
    {
        *("producer_port", "consumer_port", "console_port"),
        *("console_host", "console_folder", "console_producers", "console_consumers"),
    }
)
KEPT: Final = ("type", "enum", "minimum", "exclusiveMinimum", "maximum")


def chart_schema(text: str) -> str:
    """Return the schema *text* with the definitions of all settings made anew; the rest is written by hand."""
    schema = json.loads(text)
    schema["definitions"] = definitions()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def definitions() -> dict[str, Any]:
    """Return, for each service and for all, what `settings` and `secrets` of the chart's values may have."""
    found: dict[str, Any] = {}
    for kind in (ConsoleSettings, ConsumerSettings, ProducerSettings):
        found |= {name.upper(): _value(described) for name, described in _properties(kind).items()}
    found = {name: found[name] for fields in SERVICES.values() for name in _names(fields, in_the_secret=False)}
    for service, fields in SERVICES.items():
        settings = {name: {"$ref": f"#/definitions/{name}"} for name in _names(fields, in_the_secret=False)}
        found[f"settings of {service}"] = _closed(settings)
        found[f"secrets of {service}"] = _closed(dict.fromkeys(_names(fields, in_the_secret=True), _A_KEY))
    return found


_A_KEY: Final = {"type": "string", "minLength": 1}


def _names(fields: Mapping[str, FieldInfo], *, in_the_secret: bool) -> list[str]:
    return [
        name.upper()
        for name, field in fields.items()
        if name not in OF_THE_CHART and (is_secret(field) or name.endswith("file")) is in_the_secret
    ]


def _properties(kind: type[BaseModel]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = kind.model_json_schema()["properties"]
    return found


def _value(described: dict[str, Any]) -> dict[str, Any]:
    """Return what a setting's value may be: patterns are left to the service, since Go's are others than Python's."""
    value = next((one for one in described.get("anyOf", ()) if one["type"] != "null"), described)
    kept = {name: value[name] for name in KEPT if name in value}
    # A list is written as in an environment: separated by commas.
    return kept if kept["type"] != "array" else {"type": "string"}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}
