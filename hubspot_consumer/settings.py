"""The consumer's settings: read once from the environment, frozen."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hubspot_consumer.hubspot.paths import ApiVersion
from runtime.kafka import KafkaConnection

Mode = Literal["disabled", "dry_run", "live"]
TimelineSetting = Literal["auto", "custom_events", "notes", "off"]


class KafkaSettings(KafkaConnection, BaseSettings):
    """What the commands need that call HubSpot for nothing."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: str = Field(description="comma separated, as host:port")


class Settings(KafkaConnection, BaseSettings):
    """The consumer's part of the contract's environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    hubspot_enabled: bool = Field(default=False, description="off: up and healthy, and reads nothing")
    hubspot_send_live: bool = Field(default=False, description="off: a dry run, which calls nothing")
    hubspot_private_app_token: SecretStr | None = Field(None, description="of a private app or a Service Key")
    hubspot_private_app_token_file: Path | None = Field(None, description="holds the token; read again when refused")
    hubspot_portal_id: int | None = Field(None, ge=1, description="the portal that the token belongs to")
    hubspot_api_base_url: str = Field("https://api.hubapi.com", pattern=r"^https?://[^\s]+$")
    hubspot_api_version: ApiVersion = "2026-03"
    hubspot_rate_limit: int = Field(100, ge=1, le=10_000, description="calls that the app may make in a window")
    hubspot_rate_window_s: float = Field(10, gt=0, le=3600, description="seconds")
    hubspot_daily_limit: int = Field(250_000, ge=1, description="calls a day, shared by the account's apps")
    hubspot_timeline: TimelineSetting = "auto"
    dead_letter_limit: int = Field(100, ge=1, description="events rejected within an hour that halt sending")
    consumer_group: str = Field("hubspot-consumer", min_length=1, max_length=200)
    consumer_port: int = Field(8081, ge=0, le=65_535)

    @model_validator(mode="after")
    def _live_needs_a_portal(self) -> Self:
        if self.hubspot_send_live and not self.hubspot_enabled:
            raise ValueError("HUBSPOT_SEND_LIVE is true but HUBSPOT_ENABLED is not: set HUBSPOT_ENABLED=true")
        if self.hubspot_send_live:
            token = self.hubspot_private_app_token or self.hubspot_private_app_token_file
            for variable, value in (
                ("HUBSPOT_PRIVATE_APP_TOKEN", token),
                ("HUBSPOT_PORTAL_ID", self.hubspot_portal_id),
            ):
                if not value:
                    raise ValueError(f"{variable} is not set, and HUBSPOT_SEND_LIVE=true needs it")
        if self.hubspot_enabled and not self.kafka_bootstrap_servers:
            raise ValueError(
                "KAFKA_BOOTSTRAP_SERVERS is not set, and HUBSPOT_ENABLED=true needs it: host:port,host:port"
            )
        return self

    @model_validator(mode="after")
    def _token_file_can_be_read(self) -> Self:
        if self.hubspot_private_app_token_file is not None:
            if self.hubspot_private_app_token is not None:
                raise ValueError("HUBSPOT_PRIVATE_APP_TOKEN and HUBSPOT_PRIVATE_APP_TOKEN_FILE are both set: set one")
            self.read_token()
        return self

    def read_token(self) -> SecretStr | None:
        """Return the token, from its file if it has one as it stands now. Raises ValueError, naming the file."""
        file = self.hubspot_private_app_token_file
        if file is None:
            return self.hubspot_private_app_token
        try:
            token = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"HUBSPOT_PRIVATE_APP_TOKEN_FILE: {file} can't be read: {type(error).__name__}") from None
        if not token:
            raise ValueError(f"HUBSPOT_PRIVATE_APP_TOKEN_FILE: {file} is empty")
        return SecretStr(token)

    @property
    def mode(self) -> Mode:
        if not self.hubspot_enabled:
            return "disabled"
        return "live" if self.hubspot_send_live else "dry_run"

    @property
    def group(self) -> str:
        """The Kafka consumer group. A dry run has its own, so that it skips nothing for the live run later."""
        return f"{self.consumer_group}-dry-run" if self.mode == "dry_run" else self.consumer_group
