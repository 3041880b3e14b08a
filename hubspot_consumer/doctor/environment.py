"""The environment as the doctor reads it: as far as it goes, where a worker would refuse to start."""

import re
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator

from hubspot_consumer.doctor.examination import Check, Checks
from hubspot_consumer.doctor.findings import Answer, fail, ok
from hubspot_consumer.settings import Settings
from runtime.commands import explain

# What is shorter is a part of other words.
SHORTEST_SECRET: Final = 6

# What an HTTP header can hold: a line's end or a typographic dash comes with copying.
_A_TOKEN: Final = re.compile("[!-~]+")


class DoctorSettings(Settings):
    """The consumer's settings, and the outbox's database, which no worker needs."""

    database_url: SecretStr | None = Field(None, description="PostgreSQL of the outbox: postgresql://…")


class _AsFarAsTheyGo(DoctorSettings):
    @model_validator(mode="after")
    def _live_needs_a_portal(self) -> Self:
        return self


@dataclass(frozen=True)
class Environment:
    """The settings, those that are wrong at their defaults, and what is wrong with them, a line each."""

    settings: DoctorSettings
    faults: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        settings = self.settings
        held = [settings.hubspot_private_app_token, settings.kafka_sasl_password, settings.database_url]
        secrets = [secret.get_secret_value() for secret in held if secret is not None]
        if settings.database_url is not None:
            password = _password(settings.database_url)
            secrets += [password, unquote(password)]
        return tuple(sorted((one for one in secrets if len(one) >= SHORTEST_SECRET), key=len, reverse=True))

    def checks(self) -> Checks:
        return Checks([Check("settings", self.valid)])

    async def valid(self) -> Answer:
        """Whether a worker would start with them."""
        settings = self.settings
        if self.faults:
            return fail("; ".join(self.faults), "set it; until then no worker starts, and what else is said is a guess")
        match settings.mode:
            case "disabled":
                return ok("disabled: HUBSPOT_ENABLED is false, and nothing is read")
            case "dry_run":
                return ok(f"a dry run in the group {settings.group}: HUBSPOT_SEND_LIVE is false")
            case "live":
                return ok(f"live, in the group {settings.group}")


def read_environment() -> Environment:
    """Return what the environment says, and what is wrong with it."""
    settings, faults = _read()
    token = _token(settings)
    settings = settings.model_copy(update={"hubspot_private_app_token": token})
    if token is not None and not _A_TOKEN.fullmatch(token.get_secret_value()):
        faults += ("HUBSPOT_PRIVATE_APP_TOKEN: holds white space or letters that no token has",)
        settings = settings.model_copy(update={"hubspot_private_app_token": None})
    return Environment(settings, faults)


def _read() -> tuple[DoctorSettings, tuple[str, ...]]:
    try:
        return DoctorSettings(), ()
    except ValidationError as error:
        faults = tuple(explain(error, DoctorSettings).splitlines())
        wrong: dict[str, Any] = {
            str(detail["loc"][0]): DoctorSettings.model_fields[str(detail["loc"][0])].get_default()
            for detail in error.errors()
            if detail["loc"]
        }
    try:
        return _AsFarAsTheyGo(**wrong), faults
    except ValidationError:
        # Of several settings that don't go together nobody can tell which one is meant.
        return _AsFarAsTheyGo.model_construct(), faults


def _token(settings: DoctorSettings) -> SecretStr | None:
    try:
        return settings.read_token()
    except ValueError:
        # It is among the faults already.
        return None


def _password(url: SecretStr) -> str:
    try:
        return urlsplit(url.get_secret_value()).password or ""
    except ValueError:
        return ""
