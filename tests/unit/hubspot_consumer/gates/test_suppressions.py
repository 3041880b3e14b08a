"""The list of suppressed contacts, as a worker takes it in from its topic."""

from types import SimpleNamespace

import pytest

from hubspot_consumer.gates.suppressions import Suppressions
from schemas.contacts import ContactKey, suppression_of
from tests.clock import OwnedClock

ADA = ContactKey("ada@example.com")


@pytest.mark.parametrize("key", [None, b"", b"\xff" * 1_000, b"x" * 900_000, b"z" * 64])
async def test_what_is_no_name_of_a_contact_is_not_kept(key: bytes | None) -> None:
    suppressions = Suppressions({"bootstrap_servers": "localhost:1"}, "lifecycle.suppressions", OwnedClock())
    for name, value in ((key, b"{}"), (suppression_of(ADA).encode(), b"{}")):
        suppressions._take_in(SimpleNamespace(key=name, value=value))

    assert (len(suppressions), suppressions.contains(ADA)) == (1, True)
    suppressions._take_in(SimpleNamespace(key=suppression_of(ADA).encode(), value=None))
    assert not suppressions.contains(ADA)
    await suppressions.stop()
