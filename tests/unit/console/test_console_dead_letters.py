"""The pages of dead letters and replays: which commands they start, what they show, and what they refuse."""

import json
import shlex
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.audit_log import NotNoted
from console.control import Control
from console.dead_letters.cache import DeadLetterCache, NotRead
from console.dead_letters.shelves import Shelves
from console.pages.contact import contact_pages
from console.pages.dead_letter_actions import dead_letter_actions
from console.pages.dead_letters import dead_letter_pages
from console.pages.replay import replay_pages
from console.pages.runs import RunStarter, run_pages
from console.pages.sign_in import sign_in_pages
from console.runs.event_times import EventCounts, NotCounted
from console.runs.ranges import Stop
from console.runs.runs import Runs
from console.shared_settings import ours_of
from console.web.access import CSRF_HEADER, Access
from console.web.app import console
from console.web.sessions import Sessions
from console.web.view import View
from hubspot_consumer.dead_letters.assembly import Change
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.resolutions import Discarded, Resolutions
from hubspot_consumer.settings import Settings as ConsumerSettings
from schemas.contacts import contact_hash, contact_key
from tests.clock import OwnedClock
from tests.console.server import Visitor, settings
from tests.kafka.dead_letters import AT, AT_MS, as_read, headers, letters, resolution_as_read
from tests.pipeline import OPERATOR_TOKEN
from tests.polling import eventually
from tests.samples import PAYLOADS, envelope, value

EARNED = {name: each for name, each in PAYLOADS["nova_earned"].items() if name != "earned_at"}
CREATED = {name: each for name, each in PAYLOADS["merchant_contact_created"].items() if name != "created_at"}
LACKING = value(envelope(payload={**EARNED, "earnd_at": "2026-11-24T03:00:00Z", "odd": [1]}))
RECORDS = [
    as_read(0, value=LACKING, headers=headers("1", reason="invalid_envelope", detail="payload.earned_at: <b>x</b>")),
    as_read(1, value=b"\xffno JSON", headers=headers("2", reason="invalid_envelope", offset=43)),
    as_read(2, value=value(envelope()), headers=headers("3", offset=44)),
    as_read(3, value=value(envelope()), headers=headers("4", offset=45)),
    as_read(
        4,
        value=value(envelope("merchant_contact_created", payload=CREATED)),
        headers=headers("5", reason="invalid_envelope", event_type="merchant_contact_created", offset=46),
    ),
    as_read(
        5,
        value=value(envelope(payload={**EARNED, "session_id": "\ud800", "\udfff": "\udc00"})),
        headers=headers("6", reason="invalid_envelope", offset=47),
    ),
]


NO_WORKER: Mapping[str, Any] = {"http://worker.example.com:8081": None}


class Reader:
    """Knows them at once, or says why it does not."""

    def __init__(self) -> None:
        resolutions = Resolutions()
        resolutions.take_in(resolution_as_read("0-3", Discarded(at=AT, note="so"), 0, AT_MS))
        self.known: Sequence[Letter] = letters(RECORDS, resolutions)
        self.there: Sequence[Any] = RECORDS
        self.trouble = ""
        self.read_again = False

    def show(self, record: Any, letter: Letter) -> None:
        """Know only this dead letter, the first of its topic."""
        self.known, self.there = [letter], [record]

    async def letters(self) -> DeadLetterCache:
        if self.trouble:
            raise NotRead(self.trouble)
        shelves = Shelves().changed(Change(None, letter) for letter in self.known)
        return DeadLetterCache(shelves, AT, read_again=self.read_again)

    async def of_id(self, letter_id: str) -> tuple[Letter, Any] | None:
        await self.letters()
        found = [letter for letter in self.known if letter_id in letter.ids]
        return (found[0], self.there[found[0].holder.offset]) if found else None


class Times:
    """Counts an event an hour, or says why it can't."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime | None, datetime, Sequence[str]]] = []
        self.trouble = ""

    async def count(self, since: datetime | None, until: datetime, types: Sequence[str]) -> EventCounts:
        self.asked.append((since, until, types))
        if self.trouble:
            raise NotCounted(self.trouble)
        borders = [until - timedelta(hours=hours) for hours in range(4, -1, -1)]
        return EventCounts(borders, [1] * 4, since or borders[0], until, {"nova_earned": 3, "nova_redeemed": 0})


class Notes:
    """The topic of actions."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.away = False

    @asynccontextmanager
    async def action(self, _request: Request, name: str, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        if self.away:
            raise NotNoted("begun", TimeoutError())
        noted: dict[str, Any] = {}
        self.noted.append((name, arguments, noted))
        yield noted


def answering(statuses: Mapping[str, Any]) -> httpx.AsyncClient:
    """Return a client that services answer with these *statuses*, by their addresses; a text is sent as it is."""

    def answer(request: httpx.Request) -> httpx.Response:
        status = statuses.get(f"{request.url.scheme}://{request.url.netloc.decode()}")
        if status is None:
            return httpx.Response(503)
        return httpx.Response(200, text=status if isinstance(status, str) else json.dumps(status))

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


class Operator:
    """Somebody who may act, and the console that they do it by. Its commands print what they were told.

    *workers* are the statuses of its workers by their addresses; None for one that does not answer.
    """

    def __init__(
        self, folder: Path, workers: Mapping[str, Any] = NO_WORKER, consumer: ConsumerSettings | None = None
    ) -> None:
        clock, view, sessions = OwnedClock(), View(), Sessions(OwnedClock())
        access = Access(settings(folder), sessions, OwnedClock())
        program = [sys.executable, "-S", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
        self.clock = clock
        self.runs, self.reader, self.notes = Runs(folder, clock, program), Reader(), Notes()
        self.times, self.stops = Times(), list[Stop]()
        reader, actions = cast("Any", self.reader), cast("Any", self.notes)
        http, given = answering(workers), settings(folder, console_consumers=",".join(workers))
        starter = RunStarter(self.runs, actions, Control(given, ours_of(consumer or ConsumerSettings()), http, clock))
        home = APIRouter()

        @home.get("/")
        async def page(request: Request) -> Response:
            return view.page(request, "refused.html", title="Home", why="")

        pages = (
            home,
            contact_pages(view, cast("Any", None), cast("Any", None), starter),
            dead_letter_pages(view, reader, starter, clock),
            dead_letter_actions(reader, starter),
            replay_pages(view, starter, clock, cast("Any", self.times), lambda: self.stops),
            run_pages(view, self.runs, actions),
            sign_in_pages(view, access, sessions),
        )
        self._visitor = Visitor(console(view, access, pages, https=False))

    async def see(self, path: str) -> httpx.Response:
        return await self._visitor.http.get(path)

    async def post(self, path: str, **form: Any) -> httpx.Response:
        token = {CSRF_HEADER: await self._visitor.csrf()}
        return await self._visitor.http.post(path, data=form, headers=token)

    async def sign_in(self) -> None:
        await self._visitor.sign_in(OPERATOR_TOKEN)

    async def commanded(self, path: str, **form: Any) -> str:
        """Post a form; return the command that it started."""
        answer = await self.post(path, **form)
        assert answer.status_code == 303, answer.text
        run = self.runs.of(answer.headers["location"].removeprefix("/runs/"))
        assert run is not None

        async def ended() -> bool:
            run.look()
            return run.state == "done"

        await eventually(ended, within_s=20, every_s=0.02, saying="the command has ended")
        return shlex.join(json.loads(run.output))


async def signed_in_operator(folder: Path) -> AsyncIterator[Operator]:
    """Yield an operator, and wait for the commands that they started."""
    made = Operator(folder)
    await made.sign_in()
    yield made
    for process in made.runs._processes:
        process.wait()


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async for made in signed_in_operator(tmp_path):
        yield made


async def test_the_page_groups_what_is_open_by_reason_and_lists_it_newest_first(operator: Operator) -> None:
    page = (await operator.see("/dead-letters")).text

    assert page.index('data-group="invalid_envelope"') < page.index('data-group="rejected_by_hubspot"')
    assert [number for number in range(5) if f'data-letter="0-{number}"' in page] == [0, 1, 2, 4]
    assert page.index('data-letter="0-4"') < page.index('data-letter="0-0"')
    assert "<code>mend</code> it, then redrive" in page
    assert '<span data-figure="contacts">1 <span class="unit">contact</span>' in page
    assert '<span data-figure="events">4 <span class="unit">events</span>' in page
    assert "&lt;b&gt;x&lt;/b&gt;" in (await operator.see("/dead-letters/0-0")).text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("reason=rejected_by_hubspot", {2}),
        ("type=merchant_contact_created", {4}),
        ("q=ADA@example.com", {0, 1, 2, 4}),
        ("q=nobody@example.com", set()),
        ("state=discarded", {3}),
        ("state=all", {0, 1, 2, 3, 4}),
        ("state=nonsense", {0, 1, 2, 4}),
    ],
)
async def test_filters_narrow_the_list(operator: Operator, query: str, found: set[int]) -> None:
    page = (await operator.see(f"/dead-letters?{query}")).text

    assert {number for number in range(5) if f'data-letter="0-{number}"' in page} == found


async def test_what_can_not_be_read_is_told_and_nothing_old_is_shown_as_new(operator: Operator) -> None:
    assert "an email needs something" in (await operator.see("/dead-letters?q=ada")).text
    operator.reader.read_again = True
    assert "these are from an earlier reading" in (await operator.see("/dead-letters")).text
    operator.reader.trouble = "Kafka does not answer"
    listed, one = await operator.see("/dead-letters"), await operator.see("/dead-letters/0-0")

    assert "Kafka does not answer" in listed.text
    assert "data-letter" not in listed.text
    assert (one.status_code, "Kafka does not answer" in one.text) == (503, True)


async def test_a_dead_letter_that_nobody_knows_is_none(operator: Operator) -> None:
    assert (await operator.see("/dead-letters/9-9")).status_code == 404
    assert (await operator.see("/runs/nobodys")).status_code == 404
    assert (await operator.post("/runs/nobodys/stop")).status_code == 404


@pytest.mark.parametrize(("letter_id", "has_form"), [("0-0", True), ("0-1", False), ("0-2", True), ("0-3", False)])
async def test_only_what_is_open_and_has_a_payload_can_be_mended(
    operator: Operator, letter_id: str, *, has_form: bool
) -> None:
    page = await operator.see(f"/dead-letters/{letter_id}")

    assert (page.status_code, 'id="mending"' in page.text) == (200, has_form)


async def test_the_form_is_filled_with_what_the_event_itself_tells(operator: Operator) -> None:
    page = (await operator.see("/dead-letters/0-0")).text

    assert 'name="field.earned_at" value="2026-11-24T03:00:00Z"' in page
    assert 'value="earnd_at" checked' in page
    assert 'value="odd">' in page
    assert "Wrong: Field required." in page
    personal = (await operator.see("/dead-letters/0-4")).text
    assert "It names a person" in personal


async def test_half_of_a_surrogate_pair_in_a_record_keeps_no_page_from_being_shown(operator: Operator) -> None:
    page = await operator.see("/dead-letters/0-5")

    assert page.status_code == 200
    assert 'name="field.session_id" value="?"' in page.text


async def test_dead_letters_are_redriven_by_their_ids_or_all_of_a_reason_and_never_before_a_dry_run(
    operator: Operator,
) -> None:
    path = "/dead-letters/redrive"

    assert await operator.commanded(path, id=["0-0", "0-2"]) == (
        "redrive --id=0-0 --id=0-2 --dry-run --json --progress=json"
    )
    assert await operator.commanded(path, id=["0-0"], live="yes") == "redrive --id=0-0 --yes --json --progress=json"
    assert await operator.commanded(path, all="yes", id=["0-0"], reason="too_large") == (
        "redrive --reason=too_large --dry-run --json --progress=json"
    )
    assert [name for name, _, _ in operator.notes.noted] == ["redrive_plan", "redrive", "redrive_plan"]
    assert operator.notes.noted[0][1] == {"ids": ["0-0", "0-2"]}
    assert all("run" in noted for _, _, noted in operator.notes.noted)
    # What was only tried is not told among what was done.
    assert (await operator.see("/dead-letters")).text.count("data-run=") == 1


async def test_a_discard_says_why(operator: Operator) -> None:
    assert await operator.commanded("/dead-letters/discard", id=["0-0"], why=" --so; it's ") == (
        "dead-letters discard 0-0 '--why=--so; it'\"'\"'s' --yes"
    )


@pytest.mark.parametrize("why", ["\\ada@example.com", '"ada@example.com', "so\u00a0ada@example.com\\"])
async def test_an_email_is_not_noted_whatever_is_beside_it(operator: Operator, why: str) -> None:
    await operator.commanded("/dead-letters/discard", id=["0-0"], why=why)

    [(_, noted, _)] = operator.notes.noted
    assert noted["ids"] == ["0-0"]
    assert "ada@" not in json.dumps(noted)


async def test_a_mend_sets_what_differs_from_the_record_and_nothing_else(operator: Operator) -> None:
    form = {f"field.{name}": str(each) for name, each in EARNED.items()}
    form |= {"field.earned_at": "2026-11-24T04:00:00Z", "field.user_id": "", "note": "so says ada@example.com"}

    live = await operator.commanded(
        "/dead-letters/0-0/mend", **form, leave_out=["earnd_at", "session_id", "--yes"], live="yes"
    )
    dry = await operator.commanded("/dead-letters/0-0/mend", **form)

    assert live == (
        "dead-letters mend 0-0 --unset=payload.user_id --set=payload.earned_at=2026-11-24T04:00:00Z "
        "--unset=payload.earnd_at '--note=so says ada@example.com' --yes --json"
    )
    assert "--dry-run" in dry
    assert "ada@" not in json.dumps(operator.notes.noted[0][1])


async def test_a_personal_field_that_somebody_posts_is_not_set(operator: Operator) -> None:
    form = {"field.created_at": "2026-11-24T04:00:00Z", "field.name": "Bob", "note": "so"}

    assert "Bob" not in await operator.commanded("/dead-letters/0-4/mend", **form)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/dead-letters/redrive", {}),
        ("/dead-letters/redrive", {"id": ["--yes"]}),
        ("/dead-letters/redrive", {"reason": "too_large"}),
        ("/dead-letters/redrive", {"all": "yes", "state": "redriven"}),
        ("/dead-letters/redrive", {"all": "yes", "q": "--yes"}),
        ("/dead-letters/discard", {"all": "yes", "why": "so"}),
        ("/dead-letters/discard", {"all": "yes", "reason": "too_large"}),
        ("/dead-letters/discard/planned", {}),
        ("/dead-letters/discard", {"id": ["0-0"], "why": " "}),
        ("/dead-letters/discard", {"why": "so"}),
        ("/dead-letters/0-0/mend", {"note": "so"}),
        ("/dead-letters/0-0/mend", {"field.earned_at": "x", "note": " "}),
        ("/dead-letters/0-1/mend", {"field.earned_at": "x", "note": "so"}),
        ("/replay/plan", {"from": "since", "since": "--yes", "share": "30"}),
        ("/replay/plan", {"from": "since", "since": "24h", "share": "91"}),
        ("/replay/plan", {"from": "earliest", "until": "--yes", "share": "30"}),
        ("/dead-letters/redrive", {"id": ["0-0\x00"]}),
        ("/dead-letters/redrive", {"all": "yes", "reason": "x\x00"}),
        ("/dead-letters/redrive", {"all": "yes", "reason": "x" * 301}),
        ("/dead-letters/discard", {"id": ["0-0"], "why": "a\x00b"}),
        ("/dead-letters/discard", {"id": ["0-0"], "why": "x" * 301}),
        ("/dead-letters/0-0/mend", {"field.earned_at": "x", "note": "a\nb"}),
        ("/dead-letters/0-0/mend", {"field.earned_at": "x\x00", "note": "so"}),
        ("/dead-letters/0-0/mend", {"field.earned_at": "x" * 5000, "note": "so"}),
        ("/replay/start", {}),
        ("/replay/start", {"plan": "../x"}),
    ],
)
async def test_what_is_asked_wrongly_starts_nothing_and_is_not_noted(
    operator: Operator, path: str, form: dict[str, Any], tmp_path: Path
) -> None:
    answer = await operator.post(path, **form)

    assert answer.status_code == 400
    assert not (tmp_path / "runs").exists()
    assert operator.notes.noted == []


async def test_what_can_not_be_noted_is_not_done(operator: Operator, tmp_path: Path) -> None:
    operator.notes.away = True

    answer = await operator.post("/dead-letters/redrive", id=["0-0"], live="yes")

    assert answer.status_code == 503
    assert not (tmp_path / "runs").exists()


async def test_a_folder_that_can_not_be_written_is_told_and_nothing_was_begun(
    operator: Operator, tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("a file")

    answer = await operator.post("/dead-letters/redrive", id=["0-0"], live="yes")

    assert (answer.status_code, "CONSOLE_FOLDER: no command can be started there" in answer.text) == (503, True)


def test_the_trend_counts_each_hour_of_the_last_day_and_nothing_older() -> None:
    ages = [
        timedelta(minutes=5),
        timedelta(minutes=65),
        timedelta(minutes=70),
        timedelta(hours=23.5),
        timedelta(days=2),
    ]
    set_aside = [as_read(number, headers=headers(str(number), failed_at=AT - age)) for number, age in enumerate(ages)]

    [group] = Shelves().changed(Change(None, letter) for letter in letters(set_aside)).groups

    hours = group.hours(AT)
    assert (len(group.times), sum(hours), group.newest.failed_at) == (5, 4, AT - ages[0])
    assert (hours[0], hours[-2:]) == (1, [2, 1])
    assert max(height for _, _, height in group.bars(AT)) == 20
    assert group.hours(AT + timedelta(hours=1)) == [0, *hours[2:], 0]


async def test_a_contact_is_resynced_by_the_command_that_people_type_and_noted_without_its_email(
    operator: Operator,
) -> None:
    asked = {"contact": " Ada@Example.com"}

    assert await operator.commanded("/contacts/resync", **asked) == (
        "resync --progress=json --dry-run -- ada@example.com"
    )
    assert await operator.commanded("/contacts/resync", **asked, live="yes") == (
        "resync --progress=json -- ada@example.com"
    )

    hashed = contact_hash(contact_key("ada@example.com"))
    assert [(name, arguments) for name, arguments, _ in operator.notes.noted] == [
        ("resync_plan", {"contact": "a***@example.com", "contact_hash": hashed}),
        ("resync", {"contact": "a***@example.com", "contact_hash": hashed}),
    ]


@pytest.mark.parametrize("contact", ["", "nobody", "--yes"])
async def test_what_is_no_contact_is_not_resynced(operator: Operator, contact: str) -> None:
    assert (await operator.post("/contacts/resync", contact=contact, live="yes")).status_code == 400
    assert operator.notes.noted == []


async def test_a_resync_that_can_not_be_noted_is_not_begun(operator: Operator) -> None:
    operator.notes.away = True

    assert (await operator.post("/contacts/resync", contact="ada@example.com", live="yes")).status_code == 503
    assert operator.runs.all("resync", "resync_plan") == []
