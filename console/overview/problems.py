"""The problems: whatever of the flow is not as it should be, in words, the worst first, each with what to do."""

from collections.abc import Iterable, Mapping
from typing import Final

from console.overview.flow import Flow, running_words
from console.overview.outlook import Outlook
from console.overview.outlook_problems import behind, daily_calls, span
from console.overview.problem import Problem, Stage
from console.overview.source import NOT_ASKED
from hubspot_consumer.doctor.worker import REMEDIES
from schemas.times import read_time

# As the alert OutboxWaits.
OUTBOX_WAITS_S: Final = 60.0
STARTING: Final = "starting"


def problems(flow: Flow, outlook: Outlook) -> list[Problem]:
    """Return what is wrong, the worst first."""
    found = [
        *_not_sent(flow),
        *_unreachable(flow),
        *_not_known(flow),
        *_settings(flow),
        *_before_kafka(flow),
        *_unwell(flow),
        *behind(outlook),
        *daily_calls(flow, outlook),
        *_set_aside(flow),
        *_slow(flow),
        *_standing(flow),
        *_versions(flow),
    ]
    # The sort keeps the order of those of one level.
    return sorted(found, key=lambda problem: problem.level != "bad")


def _not_sent(flow: Flow) -> Iterable[Problem]:
    for halt in flow.halts:
        reason, detail, who = halt["reason"], _ended(halt["detail"]), _who_sends_nothing(flow, halt["reason"])
        since = read_time(halt["since"])
        if reason == "paused":
            yield Problem(
                f"pause:{halt['since']}",
                "hubspot",
                "bad",
                f"{who}: paused",
                detail,
                "Events wait in Kafka, and none is lost.",
                "/control",
                "See who paused, and resume",
                since,
            )
        else:
            yield Problem(
                f"halt:{reason}",
                "hubspot",
                "bad",
                f"{who}: halted, {reason}",
                detail,
                _sentence(REMEDIES.get(reason, "the runbook's table says what to do")),
                "/control",
                "See the workers, and ask the doctor",
                since,
            )
    if "dry_run" in flow.modes:
        yield Problem(
            "dry_run", "hubspot", "warn", "Dry run", "HubSpot is not called.", "Set HUBSPOT_SEND_LIVE=true to send."
        )
    if "disabled" in flow.modes:
        yield Problem(
            "disabled", "worker", "warn", "Disabled", "A worker reads nothing.", "Set HUBSPOT_ENABLED=true to start."
        )


def _who_sends_nothing(flow: Flow, reason: str) -> str:
    """Return the beginning of a sentence: each worker finds out by itself that HubSpot does not answer."""
    live = [worker for worker in flow.one_by_one if worker.is_live]
    halted = [worker for worker in live if worker.halt == reason]
    return f"{len(halted)} of {len(live)} workers send nothing" if flow.sends else "Nothing is sent"


# What it means that one does not answer while another of its kind does.
_WITH_OTHERS: Final[Mapping[str, str]] = {
    "producer": "Another one answers; sums include only those that do.",
    "worker": "The others take over its partitions; sums include only those that answer.",
}
_PARTS: Final[Mapping[str, tuple[Stage, str]]] = {
    "outbox": ("outbox", "How many events wait in the outbox is not known."),
    "Kafka": ("kafka", "The lag is not known."),
    "producer": ("relay", "If no relay runs, committed events wait in the outbox, and none is lost."),
    "worker": ("worker", "If no worker runs, events wait in Kafka, and none is lost."),
}


def _unreachable(flow: Flow) -> Iterable[Problem]:
    asked = [source for source in flow.unreachable if source.trouble != NOT_ASKED]
    for source in asked:
        kind = source.name.partition(" ")[0]
        stage, meaning = _PARTS[kind]
        others = {"worker": flow.workers_known > 0, "producer": flow.relay_active is not None}.get(kind, False)
        yield Problem(
            f"away:{source.name}",
            stage,
            "warn" if others else "bad",
            f"{_named(source.name)} {source.trouble}",
            _WITH_OTHERS[kind] if others else meaning,
            since=source.answered_at,
        )


def _not_known(flow: Flow) -> Iterable[Problem]:
    if not flow.workers:
        yield Problem(
            "no_worker_known",
            "worker",
            "warn",
            "No worker is known",
            "Whether events reach HubSpot is not known.",
            "Set CONSOLE_CONSUMERS to the workers' addresses.",
        )
    if not flow.producers:
        yield Problem(
            "no_producer_known",
            "relay",
            "warn",
            "No producer is known",
            "Whether a relay publishes what waits in the outbox is not known.",
            "Set CONSOLE_PRODUCERS to the producers' addresses.",
        )


def _settings(flow: Flow) -> Iterable[Problem]:
    for worker in flow.differing:
        yield Problem(
            f"settings:{worker.worker}",
            "worker",
            "bad",
            f"{_named(worker.worker)} has other settings than the console",
            f"{worker.values}.",
            "Until they are alike, the console refuses actions that would not act beside this worker.",
            "/control",
            "Compare the settings",
        )
    for worker_name, group in flow.other_groups.items():
        yield Problem(
            f"group:{worker_name}",
            "kafka",
            "bad",
            f"{_named(worker_name)} reads for another group",
            f"It reads for the group {group}, but this page shows the lag of {flow.group}.",
            "Give the console the worker's CONSUMER_GROUP, HUBSPOT_ENABLED and HUBSPOT_SEND_LIVE.",
            "/control",
            "Compare the settings",
        )


def _before_kafka(flow: Flow) -> Iterable[Problem]:
    if flow.relay_active is False:
        yield Problem(
            "relay",
            "relay",
            "bad",
            "No relay is active",
            "Producers run, and none of them publishes: committed events wait in the outbox.",
            "`lock_holder` of a producer's /v1/health names the connection that has the relay's lock.",
        )
    if (flow.outbox_oldest_s or 0.0) > OUTBOX_WAITS_S:
        yield Problem(
            "outbox",
            "outbox",
            "bad",
            "Events wait in the outbox",
            f"The first has waited for {span(flow.outbox_oldest_s or 0.0)}, and does not reach Kafka.",
            "Look at the relay and at Kafka.",
        )


def _unwell(flow: Flow) -> Iterable[Problem]:
    for unwell in flow.unwell:
        stage: Stage = "worker" if unwell.source.startswith("worker") else "relay"
        yield Problem(
            f"unwell:{unwell.source}:{unwell.part}",
            stage,
            "warn" if unwell.why.startswith(STARTING) else "bad",
            f"{_named(unwell.source)} is unwell: {unwell.part}",
            _ended(unwell.why),
            link="/control",
            link_words="Ask the doctor",
        )


def _set_aside(flow: Flow) -> Iterable[Problem]:
    if flow.dead_letters_per_min:
        yield Problem(
            "dead_letters",
            "worker",
            "warn",
            "Events were set aside as dead letters",
            f"{flow.dead_letters_per_min:,.0f} within a minute.",
            "They stay there until somebody redrives or discards them.",
            "/dead-letters",
            "See the dead letters",
        )
    if flow.rate_limited_per_min:
        yield Problem(
            "rate_limited",
            "hubspot",
            "warn",
            "HubSpot refuses calls as too many",
            f"{flow.rate_limited_per_min:,.0f} within a minute (429).",
            "Workers keep to the quota, so another program uses the same token.",
        )


def _slow(flow: Flow) -> Iterable[Problem]:
    for worker in flow.one_by_one:
        if worker.slow:
            yield Problem(
                f"slow:{worker.name}",
                "worker",
                "warn",
                f"{_named(worker.name)} is slow",
                f"It {worker.slow}.",
                link="#workers",
                link_words="Compare the workers",
            )


def _standing(flow: Flow) -> Iterable[Problem]:
    """Yield that nobody delivers. A worker that stands while others deliver is slow, and a halt says why it is so."""
    sending = [worker for worker in flow.one_by_one if worker.is_live]
    if sending and not flow.halts and all(worker.stands and not worker.slow for worker in sending):
        yield Problem(
            "stands",
            "worker",
            "warn",
            "No worker delivers",
            "Workers have events in memory, and have delivered none for a minute.",
            "Look at what contacts wait for, and ask the doctor.",
            "#workers",
            "See the workers",
        )


def _versions(flow: Flow) -> Iterable[Problem]:
    told = [running_words(kind, versions) for kind, versions in flow.versions.items() if versions]
    if told:
        yield Problem(
            "versions",
            "worker",
            "warn",
            "Not all services are of one version",
            f"{', '.join(told)}.",
            "That is usual during a deployment.",
        )


def _named(source: str) -> str:
    """Return the name of a process as a sentence begins with it. Only the unusual scheme is worth its place."""
    return _capital(source.replace("http://", ""))


def _sentence(words: str) -> str:
    return _ended(_capital(words))


def _capital(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"


def _ended(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."
