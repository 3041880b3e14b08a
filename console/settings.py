"""The console's settings: read once from the environment, frozen."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from runtime.database import DatabaseUrl, InSchema, of_postgresql
from runtime.kafka.connection import KafkaConnection

Network = IPv4Network | IPv6Network

# A token is long enough not to be guessed, and made of characters that need no quoting.
_A_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{32,}")
_A_HEADER: Final = re.compile(r"[A-Za-z0-9-]+")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _are_addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_is_address, values)):
        raise ValueError("should be addresses such as http://127.0.0.1:8081, separated by commas")
    return values


def _is_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        named = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False
    return named and bool(re.fullmatch(r"https?://[^\s/@?#]+", text))


def _networks(values: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(map(ip_network, values))
    except ValueError:
        raise ValueError("should be networks such as 10.0.0.0/8, separated by commas") from None


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks), BeforeValidator(_split)]
Addresses = Annotated[Listed, AfterValidator(_are_addresses)]


class Settings(KafkaConnection, InSchema):
    """What the console itself needs. The commands that it runs read the consumer's, from the same environment."""

    kafka_bootstrap_servers: str = Field(description="comma separated, as host:port")
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL of the outbox; without it, the console does not show unpublished events"
    )
    console_port: int = Field(8082, ge=0, le=65_535, description="port of the console")
    console_host: str = Field(
        "127.0.0.1", description="the address to listen on; `0.0.0.0` for all, behind a proxy with TLS"
    )
    console_https: bool = Field(
        default=False, description="`true` if people use https: browsers then send the cookie only over https"
    )
    console_operator_token: SecretStr | None = Field(None, description="a person who signs in with it may act")
    console_reader_token: SecretStr | None = Field(None, description="a person who signs in with it may only look")
    console_proxy_header: str | None = Field(
        None,
        description="header in which a proxy of `CONSOLE_TRUSTED_PROXIES` passes a person's name: `X-Forwarded-User`",
    )
    console_trusted_proxies: Networks = Field(
        (),
        description="networks of trusted proxies, separated by commas. Everybody who can connect from there can pretend"
        " to be anybody",
    )
    console_operators: Listed = Field(
        (),
        description="people who may act, separated by commas, if a proxy signs people in; others may only look",
    )
    console_producers: Addresses = Field(
        ("http://127.0.0.1:8080",),
        description="addresses of the producers, separated by commas; a name with several IP addresses stands for a"
        " producer at each",
    )
    console_consumers: Addresses = Field(
        ("http://127.0.0.1:8081",),
        description="addresses of the workers, separated by commas; a name with several IP addresses stands for a"
        " worker at each",
    )
    console_folder: Path = Field(
        Path(".console"), description="folder of the index and of the runs' reports; it contains emails"
    )

    @field_validator("database_url")
    @classmethod
    def _of_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else of_postgresql(value)

    @property
    def database(self) -> DatabaseUrl | None:
        return DatabaseUrl(self, "database_url") if self.database_url else None

    @field_validator("console_host")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if value != "localhost":
            ip_address(value)
        return value

    @field_validator("console_operator_token", "console_reader_token")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _A_TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError(
                "should have at least 32 characters, of letters, digits and ._~+/=- alone: `openssl rand -hex 32`"
                " makes one"
            )
        return value

    @field_validator("console_proxy_header")
    @classmethod
    def _a_header(cls, value: str | None) -> str | None:
        if value is not None and not _A_HEADER.fullmatch(value):
            raise ValueError("should be the name of an HTTP header, such as X-Forwarded-User")
        return value

    @property
    def somebody_can_sign_in(self) -> bool:
        tokens = (self.console_operator_token, self.console_reader_token)
        return any(token is not None for token in tokens) or self.console_proxy_header is not None

    @model_validator(mode="after")
    def _ways_to_sign_in_agree(self) -> Self:
        if self.console_proxy_header and not self.console_trusted_proxies:
            raise ValueError(
                "CONSOLE_TRUSTED_PROXIES is not set, and CONSOLE_PROXY_HEADER needs it: the proxy's network, as"
                " 10.1.2.3/32. Name 127.0.0.1 only where nobody but the proxy can connect from this machine"
            )
        if self.console_operator_token is not None and self.console_operator_token == self.console_reader_token:
            raise ValueError("CONSOLE_OPERATOR_TOKEN and CONSOLE_READER_TOKEN must differ")
        return self
