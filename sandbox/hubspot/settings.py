"""The portal's settings, which can be changed while it runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

# Some thirty years: more can not be counted back from now.
LONGEST_S: Final = 1e9
Span = Annotated[float, Field(ge=0, le=LONGEST_S)]

ConflictForm = Literal[
    "contact_exists",
    "already_has_value",
    "conflicting_unique_value",
    "unique_value_conflict",
    "object_already_exists",
    "other_words",
]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone") from None
    return name


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`quota` calls in `window_s` seconds for each token, `daily_limit` calls a day for the portal.

    The switches choose where HubSpot's behaviour is unclear or depends on the account: docs/hubspot-simulator.md says
    what each value does. `search_lag_s`, `event_visibility_s` and `export_s` are seconds of the portal's time.
    `required_properties` and `conditional_required` (`property=value` to the property that it needs) are an
    administrator's rules, which hold from 2026-09 on. `moved_paths` moves the paths that begin with a key to where its
    value says, and nothing is left behind.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    quota: Annotated[int, Field(ge=1)] = 100
    window_s: Annotated[float, Field(gt=0, le=LONGEST_S)] = 10
    daily_limit: Annotated[int, Field(ge=0)] = 250_000
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "US/Eastern"
    latency_ms: Span = 0
    searches_per_s: Annotated[int, Field(ge=1)] = 5
    search_lag_s: Span = 2
    event_calls_per_s: Annotated[int, Field(ge=1)] = 1_250
    event_visibility_s: Span = 0
    custom_events: bool = True
    duplicate_uuid: Literal["drop", "reject", "conflict", "other_words"] = "drop"
    bad_occurrence: Literal["refuse_call", "skip"] = "refuse_call"
    notes: bool = True
    note_associations: Literal["found", "not_found"] = "found"
    result_trace_ids: Literal["all", "upserts", "none", "misplaced"] = "upserts"
    error_trace_ids: Literal["named", "none"] = "named"
    unknown_ids: Literal["name", "leave_out"] = "name"
    additional_emails: Literal["found", "not_found"] = "found"
    partial_failure: Literal["multi_status", "refuse_call"] = "multi_status"
    partial_upsert_by_email: Literal["keep", "refuse", "blank"] = "keep"
    upsert_of_taken_email: Literal["conflict", "write_holder", "leave_out_email"] = "conflict"
    upserted_id: Literal["set", "left_out"] = "set"
    unknown_property: Literal["refuse", "ignore"] = "refuse"
    wrong_email: Literal["refuse", "accept"] = "refuse"
    white_space: Literal["accept", "refuse"] = "accept"
    milliseconds: Literal["accept", "refuse"] = "accept"
    conflict: ConflictForm = "contact_exists"
    duplicate_ids: Literal["refuse", "accept"] = "refuse"
    microseconds: Literal["accept", "refuse"] = "refuse"
    deleted_email: Literal["create", "refuse"] = "create"
    malformed_credentials: Literal["expired", "no_route"] = "expired"
    quota_headers: bool = True
    contact_limit: Annotated[int, Field(ge=1)] = 15_000_000
    export_s: Span = 0
    export_times: Literal["utc", "portal"] = "utc"
    same_contact_twice: Literal["reject", "accept"] = "reject"
    upsert_of_archived: Literal["create", "restore", "refuse"] = "create"
    merge_keeps_primary_id: bool = False
    batch_status: Literal["COMPLETE", "PENDING"] = "COMPLETE"
    required_properties: tuple[str, ...] = ()
    conditional_required: Mapping[str, str] = field(default_factory=dict)
    moved_paths: Mapping[str, str] = field(default_factory=dict)
    retry_after_on_429: bool = False
    seed: int = 0

    def changed(self, changes: dict[str, Any]) -> "Settings":
        """Return the settings with *changes*. Raises pydantic.ValidationError for unknown names and bad values."""
        return _adapter().validate_python(asdict(self) | changes)


@cache
def _adapter() -> TypeAdapter[Settings]:
    # To make one takes longer than a call to the simulator.
    return TypeAdapter(Settings)
