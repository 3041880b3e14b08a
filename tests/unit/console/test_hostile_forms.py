"""Forms and pages of people who are signed in: whatever is in them, no answer is an error of ours."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.web.access import CSRF_HEADER, FOR_ANYBODY, SIGN_OUT
from tests.console.server import Visitor, application, routes
from tests.console.working import URLENCODED, body_of, post, working
from tests.hostile.inputs import inputs_of, text
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN

ROLES = {"operator": OPERATOR_TOKEN, "reader": READER_TOKEN}
FORMS = sorted(path for method, path in routes(application(Path("unused"))) if method == "POST")
SCRIPT = "<script>alert"
Form = Sequence[tuple[str, object]]
NAMES = [
    *("id", "reason", "why", "note", "live", "seen", "contact", "plan", "fresh", "from", "since", "until", "type"),
    *(
        "all",
        "type",
        "q",
        "state",
        "share",
        "timeline",
        "leave_out",
        "field.earned_at",
        "field.session_id",
        "token",
        "after",
        "csrf",
    ),
]
LIKELY = [
    "yes",
    "0-0",
    "0-4",
    "1h",
    "7d",
    "30",
    "2026-11-24",
    "earliest",
    "since",
    "nova_earned",
    "ada@example.com",
    "/",
]
VALUES = (
    st.sampled_from(LIKELY) | st.text(max_size=40) | st.binary(max_size=20).map(lambda octets: {"hex": octets.hex()})
)
FORM = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=5), VALUES), max_size=8)
VALID = [("since", "1h"), ("share", "3"), ("note", "x"), ("why", "x"), ("id", "0-0"), ("contact", "ada@example.com")]
PLACES = st.sampled_from(["0-0", "0-4", "0-9", "%00", "..%2f", "%ED%A0%80"])


@pytest.fixture
async def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    visitor = Visitor(working(tmp_path, monkeypatch))
    await visitor.sign_in(OPERATOR_TOKEN)
    return visitor


async def test_a_form_of_an_operator_gets_its_answer(operator: Visitor) -> None:
    wrong = {}
    for one in inputs_of("console form"):
        if one["path"] == SIGN_OUT:
            await operator.sign_in(OPERATOR_TOKEN)
        if (status := str(await post(operator.http, one))) not in one.outcome.split(" or "):
            wrong[one.name] = status

    assert wrong == {}


async def test_an_address_gets_its_answer_and_no_script_in_it_is_run(operator: Visitor) -> None:
    wrong = {}
    for one in inputs_of("console page"):
        answer = await operator.http.get(text(one["path"]))
        if str(answer.status_code) not in one.outcome.split(" or ") or SCRIPT in answer.text:
            wrong[one.name] = f"{answer.status_code} {answer.text}"

    assert wrong == {}


@pytest.mark.parametrize(("role", "examples"), [("operator", 12), ("reader", 3)])
@pytest.mark.parametrize("path", FORMS)
def test_no_form_is_an_error_of_ours(
    path: str, role: str, examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = Visitor(working(tmp_path, monkeypatch))

    async def sign_in() -> None:
        visitor.http.headers.pop(CSRF_HEADER, None)
        await visitor.sign_in(ROLES[role])
        visitor.http.headers.update({CSRF_HEADER: await visitor.csrf(), "Content-Type": URLENCODED})

    async def status(place: str, form: Form) -> int:
        if path in FOR_ANYBODY:
            # The last form may have ended the session.
            await sign_in()
        filled = path.replace("{letter_id}", place).replace("{run_id}", place)
        return (await visitor.http.post(filled, content=body_of(form))).status_code

    with asyncio.Runner() as runner:

        @settings(max_examples=examples, deadline=None)
        @given(PLACES, st.sampled_from([(), VALID]), FORM)
        def is_no_error_of_ours(place: str, first: Form, form: Form) -> None:
            # Of two fields of a name, the last counts.
            assert runner.run(status(place, [*first, *form])) < 500

        runner.run(sign_in())
        is_no_error_of_ours()
