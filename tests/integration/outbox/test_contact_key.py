"""The contact key in SQL: Python's, on the embedded PostgreSQL and on an older one, and mended where it was not."""

import asyncio
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from producer import migrations
from schemas.contacts import TRIMMED, contact_key, lowered
from tests.commands import run
from tests.examples import examples
from tests.foreign.older_postgres import database_of
from tests.outbox.damaged_keys import damaging_outbox, park, publish, sign_up

RUNBOOK = Path(__file__).parents[3] / "docs/runbook.md"


@pytest.fixture
def url(any_postgres: Any) -> Iterator[str]:
    with database_of(any_postgres, f"key_{uuid4().hex[:8]}") as url:
        yield url


@pytest.fixture
def db(url: str) -> Iterator[psycopg.Connection[Any]]:
    migrations.migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def key_in_sql(db: psycopg.Connection[Any], email: str) -> str:
    [key] = db.execute("SELECT lifecycle_contact_key(%s)", [email]).fetchone() or [None]
    assert isinstance(key, str)
    return key


EMAILS = st.one_of(
    st.emails(),
    st.text(min_size=1, max_size=30).map(lambda text: f"{text}@Example.com"),
    st.text(st.sampled_from(f"{TRIMMED}vV.@\\\u0301"), min_size=3, max_size=12),
)


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EMAILS)
@example("victor@example.com")
@example("\v Vv@example.tv\v")
@example("ada@example.dev")
def test_sql_and_python_make_the_same_contact_key(db: psycopg.Connection[Any], email: str) -> None:
    try:
        expected = contact_key(email)
    except ValueError:
        return
    # Combining marks that Unicode added after either side's tables are the known difference.
    assert key_in_sql(db, email) == expected


def test_every_letter_that_python_changes_makes_the_same_contact_key_in_sql(db: psycopg.Connection[Any]) -> None:
    letters = filter(str.isprintable, map(chr, range(0xA1, 0x110000)))
    changed = [each for each in letters if lowered(each) != each or unicodedata.normalize("NFC", each) != each]
    expected = [(email, contact_key(email)) for letter in changed for email in (f"a{letter}@b.com", f"a@{letter}.com")]

    rows = db.execute(
        "SELECT email, lifecycle_contact_key(email) FROM unnest(%s::text[]) AS email", [[each for each, _ in expected]]
    )

    assert len(expected) > 4_000
    assert rows.fetchall() == expected


@pytest.mark.parametrize(
    "email",
    ["İDA@example.com", "ΣΑΣ@example.com", "é@example.com", " \tA@B.com\n", "STRASSE@ẞ.de", "victor@Example.dev"],
)
def test_letters_that_libraries_lower_differently_make_one_contact_key(db: psycopg.Connection[Any], email: str) -> None:
    assert key_in_sql(db, email) == contact_key(email)


def test_the_key_is_immutable_and_parallel_safe_and_null_of_null(db: psycopg.Connection[Any]) -> None:
    kind = "SELECT provolatile, proparallel FROM pg_proc WHERE proname = 'lifecycle_contact_key'"
    assert db.execute(kind).fetchall() == [("i", "s")]
    assert db.execute("SELECT lifecycle_contact_key(NULL) IS NULL").fetchone() == (True,)


async def test_the_sql_of_a_dry_run_makes_the_same_contact_keys(url: str) -> None:
    printed = await run("producer", "migrate", "--dry-run", environment={"PYTHONIOENCODING": "ascii"})
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(printed.output.encode())
        assert [key_in_sql(db, email) for email in ("Victor@Example.dev", "É@example.com")] == [
            "victor@example.dev",
            "é@example.com",
        ]


@pytest.fixture
def damaging(url: str) -> Iterator[psycopg.Connection[Any]]:
    with damaging_outbox(url) as db:
        yield db


def keys(db: psycopg.Connection[Any]) -> list[str]:
    return [key for (key,) in db.execute("SELECT contact_key FROM outbox_contacts ORDER BY external_id").fetchall()]


async def test_migrate_counts_the_contacts_and_rows_whose_events_tell_that_their_key_is_damaged(
    url: str, damaging: psycopg.Connection[Any]
) -> None:
    for user, email in {"usr_1": "viktor@example.com", "usr_2": "valerie@example.com"}.items():
        sign_up(damaging, user, email)
    publish(damaging, keep=False)
    sign_up(damaging, "usr_3", "ada@example.dev")
    sign_up(damaging, "usr_4", "grace@example.com")
    publish(damaging, keep=True)
    for user, email in {"usr_5": "victor@example.com", "usr_6": "victor@example.com ", "usr_7": "eve@b.com"}.items():
        sign_up(damaging, user, email)
    damaging.execute("SELECT track_lifecycle_event('wallet_pass_installed', jsonb_build_object('user_id', 'usr_3'))")
    park(damaging, "usr_2", "valerie@example.com")
    park(damaging, "usr_7", "grace@example.com")
    gone, told = ["iktor@example.com"], ["ictor@example.com", "alerie@example.com", "ada@example.de"]
    damaged = sorted([*gone, *told, "grace@example.com", "eve@b.com"])
    assert sorted(keys(damaging)) == damaged

    done = await run("producer", "migrate", environment={"DATABASE_URL": url})

    assert done.code == 0, done.errors
    first, second, third, fourth, last = done.output.splitlines()
    assert "3 of 6, as far as events in the outbox tell" in first
    assert second.endswith("4 of 7 users in outbox_directory, 3 unpublished in outbox_events, 1 parked of these users")
    assert third == "`python -m producer recover --emails` lists these contacts"
    assert "the letter v was cut off" in fourth
    assert "docs/runbook.md" in fourth
    assert last == "the outbox is up to date"
    assert sorted(keys(damaging)) == damaged
    again = await run("producer", "migrate", environment={"DATABASE_URL": url})
    assert again.output.splitlines() == [last]


async def test_after_migrate_a_damaged_contact_gets_its_right_key_by_its_next_email(
    url: str, damaging: psycopg.Connection[Any]
) -> None:
    sign_up(damaging, "usr_1", "victor@example.com")
    await asyncio.to_thread(migrations.migrate, url)

    sign_up(damaging, "usr_1", "victor@example.com")

    named = damaging.execute("SELECT contact_key FROM outbox_directory WHERE external_id = 'usr_1'")
    assert named.fetchone() == ("victor@example.com",)


def test_migrate_says_nothing_of_contacts_where_there_are_none(url: str) -> None:
    assert migrations.migrate(url) == []


def test_what_migrate_finds_reaches_a_client_that_wants_errors_alone_and_is_in_a_hurry(
    url: str, damaging: psycopg.Connection[Any]
) -> None:
    sign_up(damaging, "usr_1", "victor@example.com")

    found = migrations.migrate(f"{url}?options=-c%20client_min_messages%3Derror%20-c%20statement_timeout%3D20s")

    assert "1 of 1" in found[0]


async def test_the_runbooks_sql_lists_the_damaged_contacts_and_gives_one_its_key_back(
    url: str, damaging: psycopg.Connection[Any]
) -> None:
    chapter = RUNBOOK.read_text().split("\n## Contact keys that lost a v\n")[1].split("\n## ")[0]
    listing, renaming = re.findall(r"```sql\n(.*?)```", chapter, re.DOTALL)
    damaging.execute("CREATE TABLE users (id text, email text)")
    for user, email in {"usr_1": "victor@example.com", "usr_2": "Ada@Example.com"}.items():
        damaging.execute("INSERT INTO users VALUES (%s, %s)", [user, email])
        sign_up(damaging, user, email)
    publish(damaging, keep=False)
    await asyncio.to_thread(migrations.migrate, url)

    assert damaging.execute(listing).fetchall() == [("victor@example.com", "ictor@example.com")]
    damaging.execute(renaming)
    sign_up(damaging, "usr_1", "victor@example.com")

    event = damaging.execute("SELECT aggregateid, sequence, payload #>> '{contact,external_id}' FROM outbox_events")
    assert event.fetchall() == [("victor@example.com", 2, "usr_1")]
    assert damaging.execute(listing).fetchall() == []
