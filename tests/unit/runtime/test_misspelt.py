"""Names that are probably misspelt settings are told, once, and no unknown name stops a process."""

import pytest

from hubspot_consumer.settings import Settings
from producer.settings import KafkaSettings
from runtime.misspelt import misspelt
from tests.commands import run

# What Kubernetes sets for a service `kafka`, Confluent's and Apache's images, and other programs.
OTHERS = (
    "KAFKA_PORT",
    "KAFKA_PORT_9092_TCP",
    "KAFKA_PORT_9092_TCP_ADDR",
    "KAFKA_SERVICE_HOST",
    "KAFKA_SERVICE_PORT",
    "KAFKA_BROKERS",
    "KAFKA_HOME",
    "KAFKA_HEAP_OPTS",
    "KAFKA_OPTS",
    "KAFKA_VERSION",
    "KAFKA_TOPIC",
    "KAFKA_GROUP_ID",
    "KAFKA_CLIENT_ID",
    "KAFKA_",
    "KAFKA_S",
    "KAFKA_SASL",
    "HUBSPOT_ENV",
    "DATABASE_URI",
    "PATH",
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KAFKA_SASL_USER", "KAFKA_SASL_USERNAME"),
        ("KAFKA_SASL_PASS", "KAFKA_SASL_PASSWORD"),
        ("KAFKA_SASL_PASSWORT", "KAFKA_SASL_PASSWORD"),
        ("KAFKA_SASL_PASSWORD_FIEL", "KAFKA_SASL_PASSWORD_FILE"),
        ("KAFKA_SASL_MECHANISMS", "KAFKA_SASL_MECHANISM"),
        ("KAFKA_SSL_CA_FILE", "KAFKA_SSL_CAFILE"),
        ("kafka_ssl_cert_file", "KAFKA_SSL_CERTFILE"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("KAFKA_PARTITION", "KAFKA_PARTITIONS"),
        ("HUBSPOT_PORTALID", "HUBSPOT_PORTAL_ID"),
    ],
)
def test_a_name_within_two_letters_of_a_setting_or_the_beginning_of_its_last_word_is_told(
    name: str, meant: str
) -> None:
    assert list(misspelt(Settings, [name])) == [f"{name.upper()}: is not a setting; did you mean {meant}?"]


def test_names_of_ours_and_of_others_are_not_told() -> None:
    ours = [name.upper() for name in Settings.model_fields]

    assert list(misspelt(Settings, [*ours, "KAFKA_SASL_PASSWORD_FILE", *OTHERS])) == []
    assert list(misspelt(KafkaSettings, [*ours, *OTHERS])) == []


async def test_a_command_tells_a_misspelt_name_and_goes_on() -> None:
    environment = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "KAFKA_SASL_USER": "ada", "KAFKA_PORT": "tcp://10.0.0.1:1"}

    done = await run("producer", "topics", environment=environment)

    assert done.code == 1
    assert done.errors.splitlines()[0] == "KAFKA_SASL_USER: is not a setting; did you mean KAFKA_SASL_USERNAME?"
    assert done.errors.count("KAFKA_SASL_USER:") == 1
    assert "KAFKA_PORT" not in done.errors
