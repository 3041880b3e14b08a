"""The doctor's settings. It reads them as far as possible even where a worker would refuse to start."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from hubspot_consumer.doctor.examination import Answer, Check, Checks, fail, ok
from hubspot_consumer.settings import Settings
from runtime.commands import explain
from runtime.database import DatabaseUrl, InSchema, of_postgresql
from runtime.kafka.connection import KafkaConnection


class DoctorSettings(InSchema, Settings):
    """The consumer's settings, and the outbox's database, which no worker needs."""

    database_url: SecretStr | None = Field(None, description="PostgreSQL of the outbox: postgresql://…")
    doctor_worker_url: str = Field(
        "", description="where the doctor asks for a worker's status: http://127.0.0.1:CONSUMER_PORT unless given"
    )

    @field_validator("database_url")
    @classmethod
    def _of_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        return of_postgresql(value) if value is not None else None

    @property
    def database(self) -> DatabaseUrl | None:
        return DatabaseUrl(self, "database_url") if self.database_url else None


class _AsFarAsTheyGo(DoctorSettings):
    @model_validator(mode="after")
    def _live_needs_a_portal(self) -> Self:
        return self


@dataclass(frozen=True)
class Environment:
    """The settings, with defaults in place of invalid ones, and the faults, one line each."""

    settings: DoctorSettings
    faults: tuple[str, ...] = ()

    def checks(self) -> Checks:
        return Checks([Check("settings", self.valid)])

    async def valid(self) -> Answer:
        """Check whether a worker would start with these settings."""
        settings = self.settings
        if self.faults:
            return fail(
                "; ".join(self.faults),
                "set it; until then services do not start, and the other findings are guesses",
            )
        match settings.mode:
            case "disabled":
                return ok("disabled: HUBSPOT_ENABLED is false, so nothing is read")
            case "dry_run":
                return ok(f"a dry run in the group {settings.group}: HUBSPOT_SEND_LIVE is false")
            case "live":
                return ok(f"live, in the group {settings.group}")


def read_environment() -> Environment:
    """Return the settings from the environment, and their faults."""
    try:
        return Environment(DoctorSettings())
    except ValidationError as error:
        faults = tuple(explain(error, DoctorSettings).splitlines())
        wrong: dict[str, Any] = {
            str(detail["loc"][0]): DoctorSettings.model_fields[str(detail["loc"][0])].get_default()
            for detail in error.errors()
            if detail["loc"]
        }
    # The faulty one of several settings that contradict each other can't be determined. Most of these are Kafka's.
    of_kafka = {name: field.get_default() for name, field in KafkaConnection.model_fields.items()}
    for without in (wrong, wrong | of_kafka):
        with suppress(ValidationError):
            return Environment(_AsFarAsTheyGo(**without), faults)
    return Environment(_AsFarAsTheyGo.model_construct(), faults)
