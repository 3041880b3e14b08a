"""A variant: which of the product's settings a seed has, and how HubSpot answers where nobody knows for certain."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from random import Random
from typing import Any, Final, Self

from pydantic import SecretStr

from hubspot_consumer.hubspot.paths import PATHS
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.settings import Settings
from producer.settings import Settings as ProducerSettings
from sandbox.hubspot.records.portal import PORTAL_ID, TOKEN
from tests.samples import ID_PROPERTY

# Few calls for what there is to do, so that the rate limiter has work.
QUOTA: Final = 40
# The emails that contact 0 of the backend may have.
ERASED: Final = frozenset({"cafe.0@example.com", "driver.0@example.com"})


@dataclass(frozen=True)
class Variant:
    """Most seeds have what a new installation has, and differ in one point or two."""

    api_version: str = "2026-09"
    id_property: str = EMAIL
    custom_events: bool = True
    result_trace_ids: str = "upserts"
    quota: int = QUOTA
    outbox_retention_h: float = 0.0
    # Whether HubSpot refuses the contacts of ERASED, each event of which becomes a dead letter.
    erased_contact: bool = False

    @classmethod
    def of(cls, seed: int) -> Self:
        """Return the variant of a seed."""
        chance = Random(f"variant {seed}")

        def rarely(usual: Any, *others: Any) -> Any:
            return chance.choice(others) if chance.random() < 0.2 else usual

        return cls(
            api_version=rarely("2026-09", *(version for version in PATHS if version != "2026-09")),
            id_property=rarely(EMAIL, ID_PROPERTY),
            custom_events=rarely(True, False),  # noqa: FBT003 - a value among values
            result_trace_ids=rarely("upserts", "all", "none"),
            quota=rarely(QUOTA, 100),
            outbox_retention_h=rarely(0.0, timedelta(minutes=1) / timedelta(hours=1)),
            erased_contact=rarely(False, True),  # noqa: FBT003 - a value among values
        )

    @property
    def portal(self) -> Mapping[str, Any]:
        """The simulated portal's settings."""
        return {
            "custom_events": self.custom_events,
            "result_trace_ids": self.result_trace_ids,
            "quota": self.quota,
            "deleted_email": "refuse" if self.erased_contact else "create",
        }

    @property
    def consumer(self) -> Settings:
        """The workers' settings, and the runs'."""
        return _consumer(self.api_version, self.id_property, self.quota)

    @property
    def producer(self) -> ProducerSettings:
        """The relays' settings."""
        return _producer(self.outbox_retention_h)


# Settings are made once of a kind: to check them takes longer than a second of a simulation.


@lru_cache(100)
def _consumer(api_version: str, id_property: str, quota: int) -> Settings:
    return Settings(
        hubspot_enabled=True,
        hubspot_send_live=True,
        hubspot_private_app_token=SecretStr(TOKEN),
        hubspot_portal_id=PORTAL_ID,
        hubspot_rate_limit=quota,
        hubspot_api_version=api_version,
        hubspot_id_property=id_property,
        # A recorded rejection may come for many events, and only a person ends that halt.
        dead_letter_limit=10_000,
        kafka_bootstrap_servers="kafka:9092",
    )


@lru_cache(100)
def _producer(outbox_retention_h: float) -> ProducerSettings:
    return ProducerSettings(
        kafka_bootstrap_servers="kafka:9092",
        database_url=SecretStr("postgresql://simulated/outbox"),
        outbox_retention_h=outbox_retention_h,
    )
