"""The consumer's settings: read once from the environment, frozen."""

import re
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from hubspot_consumer.hubspot.paths import ApiVersion
from hubspot_consumer.hubspot.schema import EMAIL, OF_HUBSPOT, PROPERTIES
from runtime.kafka.connection import KafkaConnection
from runtime.settings import ServiceSettings

# The printable ASCII characters; copying a token may add a line break or a typographic dash.
_A_TOKEN: Final = re.compile("[!-~]+")
_HUBSPOT_HOSTS: Final = (".hubapi.com", ".hubspot.com")
# The properties that the mapping sets; names that begin with hs_ are HubSpot's.
_TAKEN: Final = frozenset({*OF_HUBSPOT, *(known.name for known in PROPERTIES)})

Mode = Literal["disabled", "dry_run", "live"]
TimelineSetting = Literal["auto", "custom_events", "notes", "off"]


class KafkaSettings(KafkaConnection, ServiceSettings):
    """The settings of commands that need Kafka and not HubSpot."""

    kafka_bootstrap_servers: str = Field(description="comma separated, as host:port")


class Settings(KafkaConnection, ServiceSettings):
    """All settings of the consumer."""

    hubspot_enabled: bool = Field(default=False, description="`false`: the consumer is healthy, and reads nothing")
    hubspot_send_live: bool = Field(
        default=False,
        description="`false`: a dry run, without calls. `true` needs the token, the portal and `HUBSPOT_ENABLED=true`",
    )
    hubspot_private_app_token: SecretStr | None = Field(None, description="token of a private app, or a Service Key")
    hubspot_portal_id: int | None = Field(
        None, ge=1, description="the token's own portal; the consumer asks HubSpot, and refuses to start with another"
    )
    hubspot_api_base_url: str = Field(
        "https://api.hubapi.com", pattern=r"^https?://[^\s]+$", description="address of HubSpot, or of the simulator"
    )
    hubspot_api_version: ApiVersion = Field("2026-09", description="version of HubSpot's API")
    hubspot_id_property: str = Field(
        EMAIL,
        pattern="^[a-z][a-z0-9_]{0,99}$",
        description="property that contacts are upserted by: `email`, or a new one of unique values, which `provision`"
        " creates and which holds the contact key",
    )
    hubspot_rate_limit: int = Field(
        100, ge=1, le=10_000, description="the app's calls in a window; HubSpot's headers can lower it"
    )
    hubspot_rate_window_s: float = Field(10, gt=0, le=3600, description="length of the window, in seconds")
    hubspot_daily_limit: int = Field(
        250_000,
        ge=1,
        description="the account's calls a day; HubSpot's headers override it. The second half is spread until"
        " the portal's midnight",
    )
    hubspot_timeline: TimelineSetting = Field(
        "auto",
        description="form of the entries on a contact's timeline; `auto` uses the best form that the portal allows",
    )
    delivery_receipts: bool = Field(
        default=True,
        description="whether live workers write a receipt of each finished event to the topic `deliveries`",
    )
    dead_letter_limit: int = Field(
        100,
        ge=1,
        description="events that HubSpot may reject within an hour (or 1 % of all, if more) before sending halts",
    )
    consumer_group: str = Field(
        "hubspot-consumer",
        min_length=1,
        max_length=200,
        description="Kafka's consumer group; a dry run adds `-dry-run`",
    )
    consumer_port: int = Field(8081, ge=0, le=65_535, description="port of health, status and metrics")

    @field_validator("hubspot_api_base_url")
    @classmethod
    def _in_no_clear_text(cls, value: str) -> str:
        address = urlsplit(value)
        host = f".{address.hostname or ''}".rstrip(".")
        if address.scheme.lower() == "http" and host.endswith(_HUBSPOT_HOSTS):
            raise ValueError("HubSpot needs https://: with http:// anyone on the way could read the token")
        return value

    @field_validator("hubspot_id_property")
    @classmethod
    def _a_property_of_its_own(cls, value: str) -> str:
        if value in _TAKEN or value.startswith("hs_"):
            raise ValueError(f"{value} has another purpose: name a new property, or leave it at `email`")
        return value

    @field_validator("hubspot_private_app_token")
    @classmethod
    def _can_be_sent(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _A_TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("holds white space or letters that no token has")
        return value

    @model_validator(mode="after")
    def _live_needs_a_portal(self) -> Self:
        if self.hubspot_send_live and not self.hubspot_enabled:
            raise ValueError("HUBSPOT_SEND_LIVE is true but HUBSPOT_ENABLED is not: set HUBSPOT_ENABLED=true")
        if self.hubspot_send_live:
            for variable, value in (
                ("HUBSPOT_PRIVATE_APP_TOKEN", self.hubspot_private_app_token),
                ("HUBSPOT_PORTAL_ID", self.hubspot_portal_id),
            ):
                if not value:
                    raise ValueError(f"{variable} is not set, and HUBSPOT_SEND_LIVE=true needs it")
        if self.hubspot_enabled and not self.kafka_bootstrap_servers:
            raise ValueError(
                "KAFKA_BOOTSTRAP_SERVERS is not set, and HUBSPOT_ENABLED=true needs it: host:port,host:port"
            )
        return self

    def read_token(self) -> SecretStr | None:
        """Return the token; a token file is read again. Raises ValueError, which names the file's variable."""
        token = self.read_again("hubspot_private_app_token")
        if token is not None and not _A_TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("HUBSPOT_PRIVATE_APP_TOKEN_FILE: holds white space or letters that no token has")
        return token

    @property
    def mode(self) -> Mode:
        if not self.hubspot_enabled:
            return "disabled"
        return "live" if self.hubspot_send_live else "dry_run"

    @property
    def group(self) -> str:
        """The Kafka consumer group."""
        return group_of(self.consumer_group, self.mode)


def group_of(name: str, mode: Mode) -> str:
    """Return the consumer group of a worker. A dry run has its own, so that it acks nothing for a later live run."""
    return f"{name}-dry-run" if mode == "dry_run" else name
