"""Wrong tokens: how many an address may send, and that nobody else has to wait for it."""

from pathlib import Path

import pytest
import structlog
from fastapi import FastAPI

from console.web.attempts import (
    AGAIN_AFTER_S,
    ALL_AGAIN_AFTER_S,
    ALL_AT_ONCE,
    AT_ONCE,
    MOST_ADDRESSES,
    Attempts,
)
from tests.clock import OwnedClock
from tests.console.server import Visitor, application
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN

WRONG = "x" * 64
PROXY, ATTACKER, COLLEAGUE = "10.1.2.3", "203.0.113.9", "198.51.100.7"
BEHIND_A_PROXY = {"console_proxy_header": "X-Forwarded-User", "console_trusted_proxies": "10.0.0.0/8"}


async def tries(visitor: Visitor, token: str = WRONG, times: int = 1, passed_on: str = "") -> list[int]:
    """Return the status of each attempt. *passed_on*: the addresses of X-Forwarded-For."""
    headers = {"X-Forwarded-For": passed_on} if passed_on else {}
    return [(await visitor.sign_in(token, **headers)).status_code for _ in range(times)]


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


@pytest.fixture
def app(tmp_path: Path, clock: OwnedClock) -> FastAPI:
    return application(tmp_path, clock=clock)


async def test_after_some_wrong_tokens_an_address_has_to_wait_also_with_the_right_one(
    app: FastAPI, clock: OwnedClock
) -> None:
    attacker = Visitor(app, ATTACKER)

    assert await tries(attacker, times=AT_ONCE + 2) == [403] * AT_ONCE + [429] * 2
    refused = await attacker.sign_in(OPERATOR_TOKEN)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(int(AGAIN_AFTER_S)))
    assert "Try again in a minute" in refused.text

    clock.advance(AGAIN_AFTER_S)
    assert await tries(attacker, times=2) == [403, 429]

    clock.advance(AGAIN_AFTER_S)
    assert await tries(attacker, OPERATOR_TOKEN) == [303]


async def test_a_right_token_works_at_another_address_while_one_is_attacking(app: FastAPI) -> None:
    attacker, colleague = Visitor(app, ATTACKER), Visitor(app, COLLEAGUE)
    await colleague.csrf()
    await tries(attacker, times=20 * AT_ONCE)

    assert await tries(colleague, READER_TOKEN) == [303]


async def test_of_ipv6_all_addresses_of_a_network_are_one_persons(app: FastAPI) -> None:
    found = [await tries(Visitor(app, f"2001:db8:1:2::{number:x}")) for number in range(AT_ONCE + 1)]

    assert found == [[403]] * AT_ONCE + [[429]]
    assert await tries(Visitor(app, "2001:db8:1:3::1")) == [403]
    assert await tries(Visitor(app, "::ffff:203.0.113.9"), times=AT_ONCE + 1) == [403] * AT_ONCE + [429]
    assert await tries(Visitor(app, "::ffff:198.51.100.7")) == [403]


async def test_behind_a_trusted_proxy_the_address_before_it_counts_and_none_that_a_client_made_up(
    tmp_path: Path,
) -> None:
    behind = Visitor(application(tmp_path, BEHIND_A_PROXY), PROXY)
    made_up = [f"192.0.2.{number}, {ATTACKER}" for number in range(AT_ONCE + 1)]

    assert [await tries(behind, passed_on=each) for each in made_up] == [[403]] * AT_ONCE + [[429]]
    assert await tries(behind, passed_on=f"{ATTACKER}, 10.9.9.9") == [429]
    assert await tries(behind, passed_on=COLLEAGUE) == [403]
    assert await tries(behind, OPERATOR_TOKEN, passed_on=f"{ATTACKER}, {COLLEAGUE}") == [303]


async def test_from_anybody_else_the_header_of_a_proxy_changes_nothing(app: FastAPI) -> None:
    attacker = Visitor(app, ATTACKER)
    found = [await tries(attacker, passed_on=f"192.0.2.{number}") for number in range(AT_ONCE + 1)]

    assert found == [[403]] * AT_ONCE + [[429]]


async def test_the_log_says_from_where_a_wrong_token_came_and_has_no_line_for_one_that_was_not_looked_at(
    app: FastAPI,
) -> None:
    with structlog.testing.capture_logs() as lines:
        await tries(Visitor(app, ATTACKER), times=AT_ONCE + 3)

    refused = [line for line in lines if line["event"] == "console.sign_in_refused"]
    assert [line["address"] for line in refused] == [ATTACKER] * AT_ONCE
    assert [line["wait_s"] for line in refused] == [0] * (AT_ONCE - 1) + [AGAIN_AFTER_S]


def test_all_addresses_together_have_a_limit(clock: OwnedClock) -> None:
    attempts = Attempts(clock)
    for number in range(ALL_AT_ONCE):
        assert attempts.wait_s(f"192.0.2.{number}") == 0
        attempts.count_wrong(f"192.0.2.{number}")

    assert attempts.wait_s(COLLEAGUE) == ALL_AGAIN_AFTER_S
    clock.advance(ALL_AGAIN_AFTER_S)
    assert attempts.wait_s(COLLEAGUE) == 0


def test_of_very_many_addresses_those_that_may_try_soonest_are_forgotten(clock: OwnedClock) -> None:
    attempts = Attempts(clock)
    for _ in range(AT_ONCE):
        attempts.count_wrong(ATTACKER)
    for number in range(3 * MOST_ADDRESSES):
        attempts.count_wrong(f"2001:db8:{number:x}::1")

    assert len(attempts._until) == MOST_ADDRESSES
    assert ATTACKER in attempts._until
