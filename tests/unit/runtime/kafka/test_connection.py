"""The connection's settings: written in any case, with the protocol before the servers or in its own variable."""

import pytest
from pydantic import ValidationError

from hubspot_consumer.settings import KafkaSettings
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.credentials import msk_iam

USER = {"kafka_sasl_username": "ada", "kafka_sasl_password": "open sesame"}
AS_A_ROLE = {
    "kafka_bootstrap_servers": "SASL_SSL://b-1:9098",
    "kafka_sasl_mechanism": "AWS_MSK_IAM",
    "aws_region": "eu-west-1",
}


@pytest.mark.parametrize("servers", ["SASL_SSL://a:1, sasl_ssl://[::1]:2", " Sasl_Ssl://a:1,SASL_SSL://[::1]:2"])
@pytest.mark.parametrize("besides", [{}, {"kafka_security_protocol": "sasl_ssl"}])
def test_a_protocol_before_the_servers_is_the_protocol(servers: str, besides: dict[str, str]) -> None:
    kafka = KafkaConnection.model_validate({"kafka_bootstrap_servers": servers, **USER, **besides})

    assert kafka.bootstrap_servers == ["a:1", "[::1]:2"]
    assert kafka.kafka_security_protocol == kafka.client_options()["security_protocol"] == "SASL_SSL"


def test_a_protocol_before_the_servers_of_the_environment_is_taken_too(
    monkeypatch: pytest.MonkeyPatch, none_of_ours: None
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "SSL://broker:9093")

    assert KafkaSettings().client_options()["security_protocol"] == "SSL"


def test_protocols_and_mechanisms_are_taken_in_any_case() -> None:
    kafka = KafkaConnection.model_validate(
        {"kafka_security_protocol": " sasl_plaintext", "kafka_sasl_mechanism": "scram-sha-512", **USER}
    )

    options = kafka.client_options()
    assert (options["security_protocol"], options["sasl_mechanism"]) == ("SASL_PLAINTEXT", "SCRAM-SHA-512")


def test_clients_of_one_connection_share_its_certificates_and_its_tokens() -> None:
    kafka = KafkaConnection.model_validate(AS_A_ROLE)

    for name in ("ssl_context", "sasl_oauth_token_provider"):
        assert kafka.client_options()[name] is kafka.client_options()[name]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msk_iam, "find_spec", lambda _: None)

    with pytest.raises(ValidationError, match="AWS_MSK_IAM, and this needs our extra msk-iam"):
        KafkaConnection.model_validate(AS_A_ROLE)
