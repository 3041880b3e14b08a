"""DATABASE_URL: whatever is in it arrives at libpq as it was meant, and in no error."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from runtime.database import of_postgresql

# libpq can hold no zero byte.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@given(user=TEXT, password=TEXT, option=TEXT, scheme=st.sampled_from(["postgresql", "postgres", "postgresql+psycopg"]))
@example(user="me", password="open sesame", option="-c search_path=crm", scheme="postgresql")
@example(user="me", password="a+b %20@:/?#[]", option="a+b", scheme="postgres")
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
    "url", ["sesame", "mysql://me:sesame@host/db", "postgresql://me:sesame@host:port/db", "://sesame"]
)
def test_what_is_no_url_of_postgresql_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://") as refused:
        of_postgresql(SecretStr(url))

    assert "sesame" not in str(refused.value)
