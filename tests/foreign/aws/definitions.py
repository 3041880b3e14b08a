"""The task definitions of deploy/ecs/, with something in the place of each placeholder."""

import json
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]
REGION: Final = "eu-west-1"
NUMBER: Final = "123456789012"
PLACES: Final = {
    "account": NUMBER,
    "region": REGION,
    "tag": "1.4.1",
    "brokers": "broker-1.example.com:9096",
    "kafka-user": "the-user-at-kafka",
    "portal": "4242",
    "namespace": "nerava.internal",
}
# What the tasks would read from Secrets Manager.
SECRETS: Final = {
    "DATABASE_URL": "postgresql://nerava:secret@db.example.com/nerava",
    "HUBSPOT_PRIVATE_APP_TOKEN": "pat-na1-00000000-0000-4000-8000-000000000000",
    "KAFKA_SASL_PASSWORD": "secret",
    "PRODUCER_INTAKE_TOKEN": "p" * 32,
    "CONSOLE_OPERATOR_TOKEN": "o" * 32,
    "CONSOLE_READER_TOKEN": "r" * 32,
}


def image(service: str, tag: str = "1.4.1") -> str:
    return f"{NUMBER}.dkr.ecr.{REGION}.amazonaws.com/nerava-{service}:{tag}"


def definition(service: str, **places: str) -> dict[str, Any]:
    """Return the task definition of deploy/ecs/ with its placeholders filled in."""
    text = (ROOT / "deploy" / "ecs" / f"{service}.json").read_text()
    secret = f"arn:aws:secretsmanager:{REGION}:{NUMBER}:secret:nerava/{service}-AbCdEf"
    for name, value in {**PLACES, "secret": secret, **places}.items():
        text = text.replace(f"<{name}>", value)
    filled: dict[str, Any] = json.loads(text)
    return filled
