"""The settings that the console has to share with the workers, because its commands act beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hubspot_consumer.settings import Settings as ConsumerSettings
from schemas.contacts import shortened
from schemas.texts import LONGEST_KEPT

# Both settings give the mode, which every version of the workers reports.
MODE: Final = "HUBSPOT_ENABLED and HUBSPOT_SEND_LIVE"
# Workers find a record of the console by its topic's name alone, whatever their group and portal are.
ON_KAFKA: Final = ("KAFKA_TOPIC_PREFIX",)
# A command writes to its own portal, and holds contacts for the workers of its own group.
AT_HUBSPOT: Final = (
    "HUBSPOT_PORTAL_ID",
    "HUBSPOT_API_BASE_URL",
    "HUBSPOT_ID_PROPERTY",
    MODE,
    "CONSUMER_GROUP",
    *ON_KAFKA,
)

DO: Final = "Set them alike for the console and the workers, and restart whichever was wrong."


class OtherSettings(Exception):
    """A worker has other settings than the console; the message names them with both values."""

    title: Final = "Nothing was done"


@dataclass(frozen=True)
class Comparison:
    """The comparison with one worker. `differs` has the values of the console and of the worker by setting.

    `unknown` names the settings that the worker does not report; `trouble` says why it has no status.
    """

    worker: str
    differs: Mapping[str, tuple[str, str]]
    unknown: Sequence[str]
    trouble: str = ""

    @property
    def values(self) -> str:
        """The settings that differ with both values, in words."""
        return "; ".join(f"{name} is {here} here and {there} there" for name, (here, there) in self.differs.items())

    @property
    def words(self) -> str:
        """The sentences about this worker; empty if all settings are the same."""
        if self.trouble:
            return f"{self.worker} {self.trouble}, so its settings could not be compared with the console's."
        differ = f"{self.worker} has other settings than the console: {self.values}." if self.differs else ""
        unknown = f"{self.worker} does not report {', '.join(self.unknown)}, so this could not be compared."
        return f"{differ} {unknown if self.unknown else ''}".strip()


@dataclass(frozen=True)
class Comparisons:
    """The comparisons with all workers, in their order."""

    workers: Sequence[Comparison]

    @property
    def notices(self) -> list[str]:
        """Everything that differs or could not be compared, in words."""
        if not self.workers:
            return ["CONSOLE_CONSUMERS names no worker, so no settings could be compared."]
        return [comparison.words for comparison in self.workers if comparison.words]

    def require(self) -> None:
        """Raise OtherSettings if a setting differs. What could not be compared is no reason to refuse."""
        if differing := [comparison.words for comparison in self.workers if comparison.differs]:
            raise OtherSettings(" ".join([*differing, DO]))


def ours_of(consumer: ConsumerSettings) -> dict[str, str]:
    """Return the shared settings of the console's own commands."""
    return shared_settings({"mode": consumer.mode, "settings": consumer.in_force()})


def shared_settings(status: Mapping[str, Any]) -> dict[str, str]:
    """Return the shared settings that a worker's *status* reports, as texts by name; others are left out."""
    settings = status.get("settings")
    reported = {**settings} if isinstance(settings, dict) else {}
    if "mode" in status:
        reported[MODE] = status["mode"]
    return {name: _text(reported[name]) for name in AT_HUBSPOT if name in reported}


def compare(
    worker: str,
    ours: Mapping[str, str],
    status: Mapping[str, Any],
    names: Sequence[str] = AT_HUBSPOT,
    trouble: str = "",
) -> Comparison:
    """Compare the settings *names* of a worker's *status* with *ours*, which has all of them."""
    theirs = shared_settings(status)
    differs = {name: (ours[name], theirs[name]) for name in names if theirs.get(name, ours[name]) != ours[name]}
    return Comparison(worker, differs, [name for name in names if name not in theirs], trouble)


def _text(value: Any) -> str:
    # The slash at the end of an address makes no difference.
    return "not set" if value is None or value == "" else shortened(str(value), LONGEST_KEPT).rstrip("/")
