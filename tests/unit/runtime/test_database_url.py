"""DATABASE_URL: whatever libpq takes arrives there as it was written, and what it refuses is in no error."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import OperationalError
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from console.settings import Settings as ConsoleSettings
from producer.settings import DatabaseSettings, Settings
from runtime.database import UrlUnreadable, of_postgresql, why_refused

# Passwords, which no file may hold in a URL.
PLUS, SPACE, SIGN, NO_TEXT, ZERO, QUOTE = "a+b", "open sesame", "%zzsesame", "\udc80sesame", "\0sesame", 'a"sesame/x'
# libpq can hold no zero byte.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@given(user=TEXT, password=TEXT, option=TEXT, scheme=st.sampled_from(["postgresql", "postgres", "postgresql+psycopg"]))
@example(user="me", password="open sesame", option="-c search_path=crm", scheme="postgresql")
@example(user="me", password="a+b %20@:/?#[]", option="a+b", scheme="postgres+psycopg2")
def test_what_a_url_says_is_what_libpq_reads(user: str, password: str, option: str, scheme: str) -> None:
    user_part, password_part, option_part = (quote(part, safe="") for part in (user, password, option))
    url = f"{scheme}://{user_part}:{password_part}@db.example.com:5433/nerava?options={option_part}&sslmode=require"

    read = conninfo_to_dict(of_postgresql(SecretStr(url)).get_secret_value())

    assert read == {
        "user": user,
        "password": password,
        "host": "db.example.com",
        "port": "5433",
        "dbname": "nerava",
        "options": option,
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:sesame@one.example.com:5433,two.example.com/nerava?target_session_attrs=read-write",
        "postgresql://[::1]:5433,[::2]:5434/nerava",
        "postgresql:///nerava?host=one.example.com,two.example.com&port=5433,5434",
        "postgresql:///nerava?hostaddr=192.0.2.1,192.0.2.2&port=5433,5434",
        "postgresql://me@%2Fvar%2Frun%2Fpostgresql/nerava",
        "postgresql:///nerava?host=/var/run/postgresql",
        f"postgresql://me:{PLUS}@db.example.com/nerava?options=-c%20search_path%3Dcrm",
        "postgresql://db.example.com/nerava?ssl=true",
        "postgresql://db.example.com/nerava?sslmode=verify-full&sslrootcert=system",
        "postgresql://db.example.com/nerava?sslmode=require&sslrootcert=/not/there/yet.pem",
        "postgresql://db.example.com/nerava?gssencmode=require",
        "host=db.example.com port=5433 dbname=nerava user=me password='open sesame'",
        "dbname=nerava",
        "postgresql://",
    ],
)
def test_every_form_that_libpq_has_is_taken_as_it_is(url: str) -> None:
    assert of_postgresql(SecretStr(f" {url}\n")) == SecretStr(url)


def test_a_service_of_a_service_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    file.write_text("[crm]\nhost=one.example.com,two.example.com\nport=5433,5434\ndbname=nerava\npassword=sesame\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))

    for url in ("service=crm", "postgresql:///?service=crm"):
        assert of_postgresql(SecretStr(url)) == SecretStr(url)
    with pytest.raises(ValueError, match="definition of service … not found"):
        of_postgresql(SecretStr("service=sesame"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sesame", "is not a URL"),
        (" ", "is not a URL"),
        ("mysql://me:sesame@host/db", "should begin with postgresql://"),
        ("mysql://me:sesame@host/db?ssl=true", "should begin with postgresql://"),
        ("jdbc:postgresql://host/db?user=me&password=sesame", "should begin with postgresql://"),
        ("://sesame=", "should begin with postgresql://"),
        ("me=sesame", "has an option"),
        ("postgresql://me:sesame@host/db?ssl=require", "sslmode=require"),
        ("postgresql://me:sesame@host/db?pool_timeout=3", "has an option"),
        (f"postgresql://me:{SPACE}@host/db", "a space as %20"),
        (f"postgresql://me:{SIGN}@host/db", "written with %"),
        (f"postgresql://me:{NO_TEXT}@host/db", "has an option"),
        (f"postgresql://me:{ZERO}@host/db", "is not a URL"),
        ("postgresql://me:sesame@host:port/db", 'invalid integer value … for connection option "port"'),
        ("postgresql://me:sesame/x@host/db", "invalid integer value"),
        (f"postgresql://me:{QUOTE}@host/db", "invalid integer value"),
        ("postgresql://me:sesame@host:70000/db", "invalid port number"),
        ("postgresql://me:sesame@one,two/db?port=1,2,3", "could not match 3 port numbers to 2 hosts"),
        ("postgresql://me:sesame@host/db?sslmode=sesame", "invalid sslmode value"),
        ("postgresql://me:sesame@host/db?target_session_attrs=sesame", "invalid target_session_attrs value"),
        (
            "postgresql://me:sesame@host/db?sslmode=verify-full&sslrootcert=/sesame",
            "file of sslrootcert does not exist",
        ),
    ],
)
def test_what_libpq_does_not_take_is_refused_without_being_quoted(url: str, why: str) -> None:
    with pytest.raises(ValueError, match="postgresql://") as refused:
        of_postgresql(SecretStr(url))

    assert why in str(refused.value)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("driver", ["asyncpg", "pg8000", "psycopg3"])
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_url_of_sqlalchemy_is_refused_with_what_to_write_instead(scheme: str, driver: str) -> None:
    with pytest.raises(ValueError, match=r"should begin with postgresql://, without .*sslmode=require") as refused:
        of_postgresql(SecretStr(f"{scheme}+{driver}://me:sesame@host/db?ssl=require"))

    assert "sesame" not in str(refused.value)


def test_a_url_in_a_file_is_read_again_for_each_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://me:sesame@host/db\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    url = DatabaseSettings().database

    assert url() == "postgresql://me:sesame@host/db"
    file.write_text("postgresql://me:hush@host/db\n")
    assert url() == "postgresql://me:hush@host/db"


def test_the_relay_has_a_url_of_its_own_where_one_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://me:sesame@direct/db")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:sesame@pooler/db")
    relay = Settings().relay_database
    assert (relay.setting, relay()) == ("DATABASE_URL", "postgresql://me:sesame@pooler/db")

    monkeypatch.setenv("RELAY_DATABASE_URL_FILE", str(file))
    relay = Settings().relay_database
    assert (relay.setting, relay()) == ("RELAY_DATABASE_URL", "postgresql://me:sesame@direct/db")
    file.write_text("postgresql://me:hush@direct/db")
    assert relay() == "postgresql://me:hush@direct/db"
    assert Settings().database() == "postgresql://me:sesame@pooler/db"


def test_the_console_reads_its_file_again_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://me:sesame@host/db")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
    monkeypatch.setenv("CONSOLE_READER_TOKEN", "sesame" * 6)
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    url = ConsoleSettings().database
    assert url is not None

    file.write_text("postgresql://me:hush@host/db")

    assert url() == "postgresql://me:hush@host/db"


@pytest.mark.parametrize("content", [None, "", "postgresql+asyncpg://me:sesame@host/db"])
def test_a_file_without_a_url_counts_as_no_connection_until_it_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://me:sesame@host/db")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    url = DatabaseSettings().database

    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(UrlUnreadable, match=r"^DATABASE_URL") as unreadable:
        url()

    assert isinstance(unreadable.value, OperationalError)
    assert why_refused(unreadable.value) == str(unreadable.value)
    assert "sesame" not in str(unreadable.value)
    file.write_text("postgresql://me:hush@host/db")
    assert url() == "postgresql://me:hush@host/db"
