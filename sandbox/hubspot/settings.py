"""What can be set about the portal, at the start and while it runs."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone") from None
    return name


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`quota` calls in `window_s` seconds for each token, `daily_limit` calls a day for the portal.

    The switches choose where HubSpot's behaviour is unclear or depends on the account.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    quota: Annotated[int, Field(ge=1)] = 100
    window_s: Annotated[float, Field(gt=0)] = 10
    daily_limit: Annotated[int, Field(ge=0)] = 250_000
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "US/Eastern"
    latency_ms: Annotated[float, Field(ge=0)] = 0
    custom_events: bool = True
    duplicate_uuid: Literal["drop", "reject"] = "drop"
    same_contact_twice: Literal["reject", "accept"] = "reject"
    retry_after_on_429: bool = False
    seed: int = 0

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return the settings with *changes*. Raises pydantic.ValidationError for unknown names and bad values."""
        return TypeAdapter(type(self)).validate_python(asdict(self) | changes)
