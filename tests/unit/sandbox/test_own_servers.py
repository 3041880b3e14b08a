"""Fixtures lead to servers of one's own where the environment says so, and never kill them."""

import pytest

from tests.foreign.own_servers import DATABASE_URL, KAFKA, OwnKafka, OwnPostgres, named_postgres, skip_without_embedded


def test_a_database_of_the_server_has_its_host_user_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATABASE_URL, "postgresql://me:secret@db.example.com:6432/postgres?sslmode=require")

    server = named_postgres()

    assert server is not None
    assert server.url_of("test_1") == "postgresql://me:secret@db.example.com:6432/test_1?sslmode=require"


@pytest.mark.parametrize("what", ["kill", "stop", "pause", "start", "data"])
def test_a_test_that_would_kill_a_server_of_ones_own_is_skipped_and_says_so(what: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"{KAFKA} is set, and the test needs a server of its own"):
        getattr(OwnKafka("127.0.0.1:1"), what)
    with pytest.raises(pytest.skip.Exception, match=f"{DATABASE_URL} is set"):
        getattr(OwnPostgres("postgresql://127.0.0.1/postgres"), what)


def test_a_fixture_with_settings_of_its_own_skips_only_where_another_server_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(KAFKA, raising=False)
    skip_without_embedded(KAFKA)

    monkeypatch.setenv(KAFKA, "127.0.0.1:1")

    with pytest.raises(pytest.skip.Exception):
        skip_without_embedded(KAFKA)
