"""What `recover --emails` takes from events, whatever they are."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producer.recovery.emails import Evidence
from tests.kafka.kafka_records import KafkaRecord

DEEP = b'{"payload": {"email": "victor@example.com", "user_id": ' + b"[" * 500 + b"]" * 500 + b"}}"


def record(key: bytes, value: bytes) -> KafkaRecord:
    return KafkaRecord("lifecycle.driver_signed_up", 0, 0, 0, key, value)


@pytest.mark.parametrize(
    ("key", "email"),
    [
        ("ictor@example.com", " victor@Example.com"),
        ("ada@example.de", "ada@example.dev"),
        ("iola@example.d", "vvviola@example.dvv"),
    ],
)
def test_an_email_that_becomes_the_key_without_its_v_is_the_true_one(key: str, email: str) -> None:
    evidence = Evidence()
    evidence.add(key, email, "usr_1")

    assert [list(emails) for emails in evidence.damaged.values()] == [[email.strip().lower()]]


@pytest.mark.parametrize(
    ("key", "email"), [("ada@example.com", "grace@example.com"), ("victor@example.com", "VICTOR@example.com")]
)
def test_any_other_email_shows_no_damage(key: str, email: str) -> None:
    evidence = Evidence()
    evidence.add(key, email, "usr_1")

    assert evidence.damaged == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["email", "user_id"]), inner),
)


@given(st.binary(), st.binary() | JSON.map(lambda payload: json.dumps({"payload": payload}).encode()))
@example(b"ictor@example.com", DEEP)
def test_no_record_raises_an_error(key: bytes, value: Any) -> None:
    Evidence().add_record(record(key, value))
