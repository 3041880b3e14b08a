"""What `/v1/status` of either service tells of its settings: which are in force, and no secret."""

import json

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.status import Status, endpoints
from producer.settings import Settings as ProducerSettings
from runtime.health import Health
from runtime.http.server import application
from runtime.settings import ServiceSettings, secret_names, without_password
from tests.clock import LoopClock
from tests.parts import idle_parts, status_of

SECRET = "hush-hush-0123456789-0123456789-0123456789"
OF_BOTH = {
    "KAFKA_BOOTSTRAP_SERVERS": "broker-1:9092,broker-2:9092",
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_USERNAME": "lifecycle",
    "KAFKA_SASL_PASSWORD": SECRET,
    "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": SECRET,
    "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": f"https://me:{SECRET}@issuer/token?key={SECRET}",
    "KAFKA_SSL_KEY_PASSWORD": SECRET,
    "LOG_LEVEL": "debug",
}
OF_CONSUMER = {
    "HUBSPOT_ENABLED": "true",
    "HUBSPOT_SEND_LIVE": "true",
    "HUBSPOT_PRIVATE_APP_TOKEN": SECRET,
    "HUBSPOT_PORTAL_ID": "4711",
    "HUBSPOT_API_BASE_URL": f"http://me:{SECRET}@proxy:8090/?key={SECRET}",
}
OF_PRODUCER = {
    "DATABASE_URL": f"postgresql://me:{SECRET}@db/outbox",
    "RELAY_DATABASE_URL": f"postgresql://me:{SECRET}@db/outbox",
    "PRODUCER_INTAKE_TOKEN": SECRET,
}


async def settings_told(app: FastAPI) -> dict[str, object]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
        answer = await http.get("/v1/status")
    assert "hush" not in answer.text
    told: dict[str, object] = answer.json()["settings"]
    return told


def consumer() -> tuple[ServiceSettings, FastAPI]:
    settings = Settings()
    return settings, endpoints(Status(settings.mode, Health(), settings.in_force(), None), Telemetry())


def producer() -> tuple[ServiceSettings, FastAPI]:
    settings = ProducerSettings()
    status = {"settings": settings.in_force()}
    return settings, application("Outbox", unwell=dict, also=dict, status=lambda: status, metrics=CollectorRegistry())


@pytest.mark.parametrize("service", [consumer, producer])
async def test_the_status_tells_every_setting_by_its_variable_and_of_secrets_only_whether_they_are_set(
    monkeypatch: pytest.MonkeyPatch, service: object
) -> None:
    for name, value in {**OF_BOTH, **OF_CONSUMER, **OF_PRODUCER}.items():
        monkeypatch.setenv(name, value)
    assert callable(service)
    settings, app = service()

    told = await settings_told(app)

    assert set(told) == {name.upper() for name in type(settings).model_fields}
    assert {told[name.upper()] for name in secret_names(type(settings))} == {"set"}
    assert told["KAFKA_BOOTSTRAP_SERVERS"] == OF_BOTH["KAFKA_BOOTSTRAP_SERVERS"]
    assert (told["LOG_LEVEL"], told["KAFKA_PARTITIONS"]) == ("debug", 12)


async def test_a_worker_tells_which_part_of_the_quota_is_lent_in_status_health_and_metrics() -> None:
    clock = LoopClock()
    limiter = RateLimiter(100, 10, DailyQuota(1_000, clock), clock)
    transport = httpx.ASGITransport(endpoints(status_of(idle_parts(clock, limiter=limiter)), Telemetry()))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as http:
        before = (await http.get("/v1/health")).json()
        limiter.lend(0.3)
        health = (await http.get("/v1/health")).json()
        report = (await http.get("/v1/status")).json()
        metrics = (await http.get("/metrics")).text

    assert (before.get("quota_lent"), health["status"], health["quota_lent"]) == (None, "ok", 0.3)
    assert (report["quota"]["lent"], report["quota"]["share"]) == (0.3, 0.7)
    assert "hubspot_consumer_quota_lent 0.3" in metrics


async def test_a_secret_that_is_not_set_is_told_so_and_a_url_is_told_without_its_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUBSPOT_API_BASE_URL", OF_CONSUMER["HUBSPOT_API_BASE_URL"])
    _, app = consumer()

    told = await settings_told(app)

    assert told["HUBSPOT_PRIVATE_APP_TOKEN"] == told["KAFKA_SASL_PASSWORD"] == "not set"
    assert told["HUBSPOT_API_BASE_URL"] == "http://proxy:8090/?…"
    assert (told["HUBSPOT_ENABLED"], told["DELIVERY_RECEIPTS"], told["HUBSPOT_PORTAL_ID"]) == (False, True, None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://api.hubapi.com", "https://api.hubapi.com"),
        ("https://me@host:8443/path", "https://host:8443/path"),
        ("https://me:pw@host", "https://host"),
        ("https://host/?token=pw#pw", "https://host/?…"),
        ("http://me:pw@[::1", "…"),
        ("broker:9092", "broker:9092"),
        ("lifecycle.", "lifecycle."),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_password(value: str, shown: str) -> None:
    assert without_password(value) == shown
    assert "pw" not in json.dumps(without_password(value))
