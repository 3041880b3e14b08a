"""Actions where the console's settings are not those of the workers, or where nobody can tell."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.overview.flow import Flow
from console.shared_settings import AT_HUBSPOT, MODE, compare, ours_of
from console.web.view import View
from hubspot_consumer.settings import Settings
from tests.unit.console.test_console_control import Kafka, kafka, post, visitor
from tests.unit.console.test_console_dead_letters import EARNED, Operator

__all__ = ["kafka"]

ONE, TWO = "http://127.0.0.1:8081", "http://127.0.0.1:8083"
OURS: dict[str, Any] = {
    "hubspot_enabled": True,
    "hubspot_send_live": True,
    "hubspot_private_app_token": "a-token",
    "hubspot_portal_id": 4711,
    "hubspot_api_base_url": "https://api.hubapi.com",
    "kafka_bootstrap_servers": "127.0.0.1:1",
}
MEND = {f"field.{name}": str(each) for name, each in EARNED.items()} | {
    "field.earned_at": "2026-11-24T04:00:00Z",
    "note": "so",
}
WRITES: dict[str, dict[str, Any]] = {
    "/dead-letters/redrive": {"id": ["0-0"], "live": "yes"},
    "/contacts/resync": {"contact": "ada@example.com", "live": "yes"},
}
WRITES_ON_KAFKA: dict[str, dict[str, Any]] = {
    "/dead-letters/discard": {"id": ["0-0"], "why": "so"},
    "/dead-letters/0-0/mend": {**MEND, "live": "yes"},
}
DRY_RUNS: dict[str, dict[str, Any]] = {
    "/dead-letters/redrive": {"id": ["0-0"]},
    "/contacts/resync": {"contact": "ada@example.com"},
    "/replay/plan": {"from": "earliest", "share": "30"},
    "/dead-letters/0-0/mend": MEND,
}


def status(**changes: Any) -> dict[str, Any]:
    """Return the status of a worker with the console's settings, but for *changes*, as it comes over HTTP."""
    settings = Settings(**{**OURS, **changes})
    return {"mode": settings.mode, "settings": json.loads(json.dumps(settings.in_force()))}


def older(*lacking: str, **changes: Any) -> dict[str, Any]:
    """Return the status of a worker whose version does not report some settings."""
    report = status(**changes)
    return {**report, "settings": {name: each for name, each in report["settings"].items() if name not in lacking}}


class Console:
    """A console with these settings, and workers whose statuses are the test's to change."""

    def __init__(self, folder: Path) -> None:
        self.workers: dict[str, Any] = {ONE: status(), TWO: status()}
        self.operator = Operator(folder, self.workers, Settings(**OURS))

    async def refusal(self, path: str, form: dict[str, Any]) -> str:
        """Post a form that is refused; return the page."""
        answer = await self.operator.post(path, **form)
        assert answer.status_code == 409, answer.text
        assert "Nothing was done" in answer.text
        return answer.text

    async def page_of_run(self, path: str, form: dict[str, Any]) -> str:
        """Post a form that starts a run; return the run's page."""
        answer = await self.operator.post(path, **form)
        assert answer.status_code == 303, answer.text
        for process in self.operator.runs._processes:
            process.wait()
        return (await self.operator.see(answer.headers["location"])).text

    @property
    def noted(self) -> dict[str, Any]:
        """What the audit log has of the end of the newest action."""
        return self.operator.notes.noted[-1][2]


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    made = Console(tmp_path)
    await made.operator.sign_in()
    yield made
    for process in made.operator.runs._processes:
        process.wait()


OTHERS = [
    ({"hubspot_portal_id": 4712}, "HUBSPOT_PORTAL_ID is 4711 here and 4712 there"),
    (
        {"hubspot_api_base_url": "http://127.0.0.1:8090"},
        "HUBSPOT_API_BASE_URL is https://api.hubapi.com here and http://127.0.0.1:8090 there",
    ),
    ({"consumer_group": "theirs"}, "CONSUMER_GROUP is hubspot-consumer here and theirs there"),
    ({"hubspot_send_live": False}, f"{MODE} is live here and dry_run there"),
    ({"hubspot_send_live": False, "hubspot_enabled": False}, f"{MODE} is live here and disabled there"),
    ({"kafka_topic_prefix": "staging."}, "KAFKA_TOPIC_PREFIX is lifecycle. here and staging. there"),
]


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize(("changes", "says"), OTHERS)
async def test_what_writes_to_hubspot_is_refused_where_one_worker_has_another_setting(
    console: Console, path: str, changes: dict[str, Any], says: str
) -> None:
    console.workers[TWO] = status(**changes)

    page = await console.refusal(path, WRITES[path])

    assert f"worker {TWO} has other settings than the console: {says}." in page
    assert f"worker {ONE}" not in page
    assert console.operator.runs.all("redrive", "resync") == []
    assert console.noted == {"notices": [f"worker {TWO} has other settings than the console: {says}."]}


async def test_a_refusal_names_all_that_differs_of_each_worker(console: Console) -> None:
    console.workers[ONE] = status(hubspot_portal_id=4712, consumer_group="theirs")
    console.workers[TWO] = status(hubspot_portal_id=4713)

    page = await console.refusal("/dead-letters/redrive", WRITES["/dead-letters/redrive"])

    assert (
        f"worker {ONE} has other settings than the console: HUBSPOT_PORTAL_ID is 4711 here and 4712 there; "
        f"CONSUMER_GROUP is hubspot-consumer here and theirs there. worker {TWO} has other settings than the console: "
        "HUBSPOT_PORTAL_ID is 4711 here and 4713 there." in page
    )


async def test_a_replay_is_refused_when_it_is_started_or_continued_and_not_when_it_is_planned(console: Console) -> None:
    console.workers[ONE] = status(hubspot_portal_id=4712)
    await console.page_of_run("/replay/plan", DRY_RUNS["/replay/plan"])
    [plan] = console.operator.runs.all("replay_plan")

    assert "HUBSPOT_PORTAL_ID" in await console.refusal("/replay/start", {"plan": plan.id})

    console.workers[ONE] = status()
    page = await console.page_of_run("/replay/start", {"plan": plan.id})
    [replay] = console.operator.runs.all("replay")
    assert "data-notice" not in page
    console.workers[ONE] = status(hubspot_portal_id=4712)
    assert "HUBSPOT_PORTAL_ID" in await console.refusal("/replay/start", {"plan": replay.id})


@pytest.mark.parametrize("path", DRY_RUNS)
async def test_a_dry_run_shows_what_differs_before_anybody_presses_the_button(console: Console, path: str) -> None:
    console.workers[ONE] = status(hubspot_portal_id=4712, kafka_topic_prefix="staging.")

    page = await console.page_of_run(path, DRY_RUNS[path])

    assert "KAFKA_TOPIC_PREFIX is lifecycle. here and staging. there" in page


@pytest.mark.parametrize("path", [*WRITES, *WRITES_ON_KAFKA])
async def test_without_an_answer_of_any_worker_it_is_done_and_said_that_nothing_was_compared(
    console: Console, path: str
) -> None:
    console.workers.update(dict.fromkeys(console.workers))

    page = await console.page_of_run(path, {**WRITES, **WRITES_ON_KAFKA}[path])

    for url in (ONE, TWO):
        why = "can't be reached (HTTPStatusError)"
        said = f"worker {url} {why}, so its settings could not be compared with the console's."
        assert said in page.replace("&#39;", "'")
        assert said in console.noted["notices"]


async def test_a_worker_that_does_not_answer_hides_no_other_one_that_differs(console: Console) -> None:
    console.workers.update({ONE: None, TWO: status(hubspot_portal_id=4712)})

    assert "HUBSPOT_PORTAL_ID" in await console.refusal("/contacts/resync", WRITES["/contacts/resync"])


async def test_where_settings_are_the_same_nothing_is_said(console: Console) -> None:
    console.workers[TWO] = status(hubspot_api_base_url="https://api.hubapi.com/", consumer_port=9, log_level="debug")

    page = await console.page_of_run("/contacts/resync", WRITES["/contacts/resync"])

    assert "data-notice" not in page
    assert console.noted.keys() == {"run"}


async def test_what_an_older_worker_does_not_report_is_named_and_refuses_nothing(console: Console) -> None:
    console.workers[ONE] = older("HUBSPOT_PORTAL_ID", "KAFKA_TOPIC_PREFIX")

    page = await console.page_of_run("/contacts/resync", WRITES["/contacts/resync"])

    said = f"worker {ONE} does not report HUBSPOT_PORTAL_ID, KAFKA_TOPIC_PREFIX, so this could not be compared."
    assert said in page
    assert console.noted["notices"] == [said]


async def test_of_an_older_worker_what_it_does_report_still_counts(console: Console) -> None:
    console.workers[ONE] = older("HUBSPOT_PORTAL_ID", consumer_group="theirs")
    console.workers[TWO] = {"mode": "dry_run"}

    page = await console.refusal("/contacts/resync", WRITES["/contacts/resync"])

    assert "CONSUMER_GROUP is hubspot-consumer here and theirs there. " in page
    assert f"worker {ONE} does not report HUBSPOT_PORTAL_ID, so this could not be compared." in page
    assert f"{MODE} is live here and dry_run there" in page
    assert f"worker {TWO} does not report HUBSPOT_PORTAL_ID, HUBSPOT_API_BASE_URL, HUBSPOT_ID_PROPERTY" in page


@pytest.mark.parametrize(
    "odd", ["[]", "7", "<html>", "[" * 100_000, '{"mode": "live", "settings": 7}', '{"mode": "live", "settings": []}']
)
async def test_an_answer_of_odd_shape_is_one_that_could_not_be_compared(console: Console, odd: str) -> None:
    console.workers[ONE] = odd

    assert f"data-notice>worker {ONE}" in await console.page_of_run("/contacts/resync", WRITES["/contacts/resync"])


@pytest.mark.parametrize("value", ["\ud800", ["x"], {"a": 1}, "x" * 9_000, 1.5])
async def test_a_value_of_odd_shape_differs_and_can_be_shown_and_noted(console: Console, value: Any) -> None:
    report = status()
    console.workers[ONE] = {**report, "settings": {**report["settings"], "CONSUMER_GROUP": value}}

    assert "CONSUMER_GROUP is" in await console.refusal("/contacts/resync", WRITES["/contacts/resync"])
    assert len(json.dumps(console.noted, ensure_ascii=False).encode()) < 3_000


@pytest.mark.parametrize("path", WRITES_ON_KAFKA)
async def test_what_writes_to_kafka_alone_needs_the_workers_topics_and_no_more(console: Console, path: str) -> None:
    console.workers[ONE] = status(hubspot_portal_id=4712, consumer_group="theirs", hubspot_send_live=False)
    assert "data-notice" not in await console.page_of_run(path, WRITES_ON_KAFKA[path])

    console.workers[ONE] = status(kafka_topic_prefix="staging.")
    assert "KAFKA_TOPIC_PREFIX is lifecycle. here and staging. there." in await console.refusal(
        path, WRITES_ON_KAFKA[path]
    )


@pytest.mark.parametrize(("path", "form"), [("/control/pause", {"note": "so"}), ("/control/resume", {})])
async def test_a_pause_is_said_to_workers_that_read_it_and_not_to_others(
    tmp_path: Path,
    kafka: Kafka,
    path: str,
    form: dict[str, str],
) -> None:
    # The console of these tests is disabled, and has no portal: to pause, only the topics count.
    somebody = await visitor(tmp_path, answers={ONE: status(), TWO: None})
    assert (await post(somebody, path, **form)).status_code == 303
    assert len(kafka.said) == 1

    somebody = await visitor(tmp_path, answers={ONE: status(kafka_topic_prefix="staging."), TWO: None})
    refused = await post(somebody, path, **form)

    assert refused.status_code == 409
    assert "KAFKA_TOPIC_PREFIX is lifecycle. here and staging. there." in refused.text
    assert len(kafka.said) == 1
    assert [state for _, state, _ in kafka.noted] == ["begun", "done", "begun", "failed"]


def test_a_banner_names_each_worker_with_other_settings_on_every_page() -> None:
    ours = ours_of(Settings(**OURS))
    found = compare("worker <1>", ours, status(hubspot_portal_id=4712, consumer_group="<theirs>"))
    flow = Flow(at=datetime.now(UTC), differing=(found,))
    render = View()._templates.env.get_template("banner.html").render

    page = render(banner=flow)

    assert "worker &lt;1&gt; has other settings than the console:</strong> HUBSPOT_PORTAL_ID is 4711 here and" in page
    assert "&lt;theirs&gt; there" in page
    assert "other settings" not in render(banner=replace(flow, differing=()))


def test_the_console_has_a_value_of_each_shared_setting() -> None:
    assert tuple(ours_of(Settings())) == AT_HUBSPOT
