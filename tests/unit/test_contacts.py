"""The contact key, and what a log may show of it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contacts import contact_hash, contact_key, masked, without_emails

LOCALS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="@"), min_size=1, max_size=40
)


@pytest.mark.parametrize(
    ("email", "key"),
    [
        (" Ada@Example.COM\n", "ada@example.com"),
        ("JOSÉ@example.com", "josé@example.com"),
        ("Jose\u0301@example.com", "jos\u00e9@example.com"),
        ("İ@example.com", "i@example.com"),
        ("\u03a3\u0391\u03a3@example.com", "\u03c3\u03b1\u03c3@example.com"),
    ],
)
def test_spellings_of_one_email_have_one_key(email: str, key: str) -> None:
    assert contact_key(email) == key


@given(LOCALS)
def test_a_key_is_the_key_of_itself_and_of_its_other_spellings(local: str) -> None:
    key = contact_key(f"{local}@example.com")

    assert contact_key(key) == key
    assert contact_key(f" {local}@EXAMPLE.com ") == key
    assert contact_key(unicodedata.normalize("NFD", f"{local}@example.com")) == key


@given(LOCALS.filter(lambda local: not set(local) & set("<>\"'`(){}[],;:=")))
def test_a_masked_email_shows_one_letter_and_the_domain(local: str) -> None:
    email = f"{local}@example.com"

    assert masked(email) == f"{local[0]}***@example.com"
    assert without_emails(f'{{"message":"{email} is bad"}}') == f'{{"message":"{masked(email)} is bad"}}'


def test_a_contacts_hash_is_short_and_stable() -> None:
    assert contact_hash(contact_key("ada@example.com")) == contact_hash(contact_key("ADA@example.com"))
    assert len(contact_hash(contact_key("ada@example.com"))) == 12
