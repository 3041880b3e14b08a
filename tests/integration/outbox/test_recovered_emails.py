"""`python -m producer recover --emails`: contacts whose email lost the letter v get it back, and none are merged."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from producer import migrations
from schemas.contacts import contact_hash, contact_key
from schemas.outbox import RELAY_LOCK
from tests.commands import Done, run
from tests.foreign.older_postgres import database_of
from tests.outbox.damaged_keys import damaging_outbox, park, publish, sign_up
from tests.outbox.restored import outbox_of

TRUE, DAMAGED = "victor@example.com", "ictor@example.com"
HELD = "python -m hubspot_consumer audit --contact"


@pytest.fixture
def url(any_postgres: Any) -> Iterator[str]:
    with database_of(any_postgres, f"emails_{uuid4().hex[:8]}") as url:
        yield url


@pytest.fixture
def db(url: str) -> Iterator[psycopg.Connection[Any]]:
    with damaging_outbox(url) as connection:
        yield connection


def earn(db: psycopg.Connection[Any], user: str) -> None:
    payload = json.dumps({"user_id": user, "amount_cents": 100})
    db.execute("SELECT track_lifecycle_event('nova_earned', %s::jsonb)", [payload])


def everything(db: psycopg.Connection[Any]) -> list[list[tuple[Any, ...]]]:
    """Return contacts with sequence and cents, the directory, and the rows to be published."""
    return [
        db.execute(query).fetchall()
        for query in (
            "SELECT contact_key, sequence, totals ->> 'nova_earned_cents' FROM outbox_contacts ORDER BY 1",
            "SELECT external_id, contact_key FROM outbox_directory ORDER BY 1",
            "SELECT aggregateid, sequence, payload #>> '{contact,email}' FROM outbox_events ORDER BY position",
        )
    ]


async def recover(url: str, *options: str, **environment: str) -> Done:
    done = await run("producer", "recover", "--emails", *options, environment={"DATABASE_URL": url, **environment})
    assert "Traceback" not in done.errors, done.errors
    assert TRUE not in done.output
    assert DAMAGED not in done.output
    return done


def renaming(damaged: str, true: str, masks: tuple[str, str]) -> str:
    named = (f"{mask} ({contact_hash(contact_key(email))})" for mask, email in zip(masks, (damaged, true), strict=True))
    return f"  {' -> '.join(named)}"


async def test_a_contact_gets_its_true_email_and_keeps_its_sequence_its_totals_and_its_rows(
    url: str, db: psycopg.Connection[Any]
) -> None:
    sign_up(db, "usr_1", TRUE)
    earn(db, "usr_1")
    sign_up(db, "usr_3", "grace@example.com")
    publish(db, keep=True)
    sign_up(db, "usr_2", " Ada@example.dev")
    earn(db, "usr_1")
    await asyncio.to_thread(migrations.migrate, url)
    before = everything(db)

    shown = await recover(url)

    assert shown.output.splitlines() == [
        "2 contacts to rename:",
        renaming("ada@example.de", "ada@example.dev", ("a***@example.de", "a***@example.dev")),
        renaming(DAMAGED, TRUE, ("i***@example.com", "v***@example.com")),
        "nothing was written: --apply renames",
    ]
    assert everything(db) == before

    applied = await recover(url, "--apply")

    assert applied.output.splitlines() == ["2 contacts were renamed:", *shown.output.splitlines()[1:3]]
    assert everything(db) == [
        [("ada@example.dev", 1, "0"), ("grace@example.com", 1, "0"), (TRUE, 3, "200")],
        [("usr_1", TRUE), ("usr_2", "ada@example.dev"), ("usr_3", "grace@example.com")],
        [("ada@example.dev", 1, "ada@example.dev"), (TRUE, 3, TRUE)],
    ]
    sign_up(db, "usr_1", TRUE)
    assert everything(db)[0][2] == (TRUE, 4, "200")
    assert (await recover(url, "--apply")).output == "nothing to rename\n"


async def test_an_email_in_the_payload_of_a_parked_row_counts_too(url: str, db: psycopg.Connection[Any]) -> None:
    sign_up(db, "usr_1", TRUE)
    publish(db, keep=False)
    park(db, "usr_1", TRUE)
    await asyncio.to_thread(migrations.migrate, url)

    await recover(url, "--apply")

    assert everything(db)[0] == [(TRUE, 1, "0")]


async def test_contacts_that_a_person_has_to_decide_on_are_listed_and_left(
    url: str, db: psycopg.Connection[Any]
) -> None:
    sign_up(db, "usr_1", TRUE)
    for user, email in (("usr_2", "vera@example.com"), ("usr_3", "era@example.com")):
        sign_up(db, user, email)
    publish(db, keep=True)
    sign_up(db, "usr_4", "viola@example.com")
    publish(db, keep=False)
    sign_up(db, "usr_5", "viola@example.com")
    sign_up(db, "usr_6", "valerie@example.dev")
    sign_up(db, "usr_7", "Valerie@example.dev")
    await asyncio.to_thread(migrations.migrate, url)
    sign_up(db, "usr_1", TRUE)
    before = everything(db)

    done = await recover(url, "--apply")

    assert everything(db) == before
    first, second, *listed = done.output.splitlines()
    assert (first, second) == ("nothing to rename", "5 for you to decide on:")
    assert [line.split("): ")[-1] for line in listed] == [
        "another contact lost a v of the same email; suppressed: unknown",
        "it has the events of several emails; suppressed: unknown",
        "the true email is a contact too; suppressed: unknown",
        "1 more of its users may have another email; suppressed: unknown",
        "another contact lost a v of the same email; suppressed: unknown",
        "suppressions are unknown: --from-topics reads them, if their topic is there",
        f"what HubSpot holds under a damaged key: `{HELD} KEY`; --reveal shows the keys",
    ]


async def test_nothing_is_renamed_while_a_relay_publishes(url: str, db: psycopg.Connection[Any]) -> None:
    sign_up(db, "usr_1", TRUE)
    await asyncio.to_thread(migrations.migrate, url)
    db.execute("SELECT pg_advisory_lock(%s)", [RELAY_LOCK])
    before = everything(db)

    done = await recover(url, "--apply")

    assert done.code == 1
    assert "a relay is active, and publishes rows that would be renamed: stop it first" in done.errors
    assert everything(db) == before


async def test_the_topics_tell_the_true_email_where_the_rows_are_gone(
    kafka: Any, empty_database_url: str, topic_prefix: str
) -> None:
    outbox = await outbox_of(kafka, empty_database_url, topic_prefix)
    with damaging_outbox(empty_database_url) as db:
        sign_up(db, "usr_1", TRUE)
        await asyncio.to_thread(migrations.migrate, empty_database_url)
        await outbox.publish()
        assert (await recover(empty_database_url)).output == "nothing to rename\n"

        done = await recover(empty_database_url, "--from-topics", "--apply", **outbox.environment)

        assert done.output.startswith("1 records read, of 24 partitions to their ends\n1 contacts were renamed:\n")
        assert everything(db)[:2] == [[(TRUE, 1, "0")], [("usr_1", TRUE)]]


async def test_where_both_keys_exist_it_says_which_are_suppressed_and_how_to_ask_hubspot(
    kafka: Any, empty_database_url: str, topic_prefix: str
) -> None:
    outbox = await outbox_of(kafka, empty_database_url, topic_prefix)
    suppressed = outbox.environment | {"HUBSPOT_ENABLED": "true"}
    with damaging_outbox(empty_database_url) as db:
        for user, email in {"usr_1": TRUE, "usr_2": "o'neil@example.dev", "usr_3": "vera@example.com"}.items():
            sign_up(db, user, email)
        await asyncio.to_thread(migrations.migrate, empty_database_url)
        sign_up(db, "usr_1", TRUE)
        sign_up(db, "usr_2", "o'neil@example.dev")
        before = everything(db)
        options = ("--from-topics", "--reveal", "--apply")
        lists = [("victor@example.com",), ("o'neil@example.de",), ("era@example.com",), ("vera@example.com", "--undo")]
        for each in lists:
            done = await run("hubspot_consumer", "suppress", *each, environment=suppressed)
            assert done.code == 0, done.errors

        done = await run("producer", "recover", "--emails", *options, environment=outbox.environment)

        assert done.code == 0, done.errors
        assert done.output.splitlines()[1:] == [
            "nothing to rename",
            "3 for you to decide on:",
            "  era@example.com -> vera@example.com: first `suppress` the true email; suppressed: the damaged key",
            f"    {HELD} era@example.com",
            "  ictor@example.com -> victor@example.com: the true email is a contact too; suppressed: the true email",
            f"    {HELD} ictor@example.com",
            "  o'neil@example.de -> o'neil@example.dev: the true email is a contact too; suppressed: the damaged key",
            f"""    {HELD} 'o'"'"'neil@example.de'""",
        ]
        assert everything(db) == before
        await run("hubspot_consumer", "suppress", "vera@example.com", environment=suppressed)
        done = await run("producer", "recover", "--emails", *options, environment=outbox.environment)
        assert "1 contacts were renamed:\n  era@example.com -> vera@example.com\n" in done.output


@pytest.mark.parametrize("option", ["--from-topics", "--reveal"])
async def test_some_options_belong_to_emails_alone(option: str) -> None:
    done = await run("producer", "recover", option)

    assert done.code == 2
    assert f"{option} is an option of --emails" in done.errors
