"""The contact key, and what a log may show of it."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import contacts
from schemas.contacts import LONGEST_EMAIL, contact_hash, contact_key, masked, shortened, without_emails

# No letters of a word, as emails are masked; but an email may end in them before its @.
MARKS = "<>\"'`(){}[],;:="
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


@given(LOCALS.filter(lambda local: not set(local) & set(MARKS)), st.text(MARKS, max_size=3))
def test_a_masked_email_shows_one_letter_and_the_domain(local: str, marks: str) -> None:
    email = f"{local}{marks}@example.com"

    assert masked(email) == f"{local[0]}***@example.com"
    assert without_emails(f'{{"message":"{email} is bad"}}') == f'{{"message":"{masked(email)} is bad"}}'


# What is masked, said the slow way.
EMAIL = re.compile(r"[^\s@<>\"'`(){}\[\],;:=]+[<>\"'`(){}\[\],;:=]*@(?=[^\s@])")
WORDS = st.text(st.sampled_from("ab@@ <,.") | st.characters(), max_size=60)


@given(WORDS)
@example("a@b@c@@d @e f@")
def test_all_that_looks_like_an_email_is_masked_and_nothing_else(text: str) -> None:
    expected = EMAIL.sub(lambda email: masked(email.group()), text)

    assert without_emails(text) == expected
    assert shortened(text, 2 * len(text)) == expected


@given(
    before=st.text("ab @<,", max_size=40),
    local=st.text("xyz", min_size=2, max_size=LONGEST_EMAIL - len("@nowhere.test")),
    after=st.text("ab @<,", max_size=400),
    longest=st.integers(0, 420),
)
def test_an_email_that_the_end_cuts_through_shows_no_more_than_its_first_letter(
    before: str, local: str, after: str, longest: int
) -> None:
    told = shortened(f"{before} {local}@nowhere.test{after}", longest)

    assert len(told) <= longest
    assert sum(letter in "xyz" for letter in told) <= 1


@pytest.mark.parametrize("letters", ["\u0315\u0300", "e\u0301", "a"])
def test_what_is_too_long_to_be_an_email_is_not_composed(monkeypatch: pytest.MonkeyPatch, letters: str) -> None:
    composed: list[int] = []

    class Counted:
        @staticmethod
        def normalize(form: str, text: str) -> str:
            composed.append(len(text))
            return unicodedata.normalize(form, text)  # type: ignore[arg-type]

    monkeypatch.setattr(contacts, "unicodedata", Counted)
    with pytest.raises(ValueError, match="at most 320 characters"):
        contact_key(letters * 200_000 + "@example.com")

    assert sum(composed) < 10 * LONGEST_EMAIL
    assert contact_key("e\u0301" * 300 + "@example.com") == "\u00e9" * 300 + "@example.com"


def test_a_contacts_hash_is_short_and_stable() -> None:
    assert contact_hash(contact_key("ada@example.com")) == contact_hash(contact_key("ADA@example.com"))
    assert len(contact_hash(contact_key("ada@example.com"))) == 12
