"""What counts as a difference, and what HubSpot only writes in its own way."""

import pytest

from hubspot_consumer.history.projection import Projection
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.reprocessing.comparison import ContactDifference, differences, same
from schemas.contacts import ContactKey

ADA = ContactKey("ada@example.com")
SAME = [
    ("nerava_nova_balance_cents", "4500", "4500.0"),
    ("nerava_last_nova_earned_at", "2026-11-24T03:00:00.123Z", "2026-11-24T04:00:00.123+01:00"),
    ("nerava_signup_date", "2026-11-24", "2026-11-24"),
    ("nerava_wallet_pass_installed", "true", "True"),
    ("phone", "+1 555 0100", "+1 555 0100"),
]
OTHER = [
    ("nerava_nova_balance_cents", "4500", "4501"),
    ("nerava_last_nova_earned_at", "2026-11-24T03:00:00.123Z", "2026-11-24T03:00:00.124Z"),
    ("nerava_role", "driver", "Driver"),
    # Of a text, only the text counts.
    ("phone", "1", "1.0"),
    ("nerava_nova_balance_cents", "4500", ""),
]


@pytest.mark.parametrize(("name", "expected", "held"), SAME)
def test_a_value_in_another_notation_is_the_same(name: str, expected: str, held: str) -> None:
    assert same(name, expected, held)


@pytest.mark.parametrize(("name", "expected", "held"), OTHER)
def test_another_value_is_not(name: str, expected: str, held: str) -> None:
    assert not same(name, expected, held)


def projection(**properties: str) -> Projection:
    return Projection(ADA, {"nerava_event_sequence": "3", **properties}, 3)


def kinds(found: list[ContactDifference]) -> list[tuple[str, str]]:
    return [(difference.kind, difference.name) for difference in found]


def test_each_way_to_differ_has_its_name() -> None:
    held = RemoteContact("1", {"nerava_event_sequence": "2", "nerava_role": "", "phone": "2"})

    assert kinds(differences(projection(nerava_role="driver", phone="1"), held)) == [
        ("stale", "nerava_event_sequence"),
        ("empty", "nerava_role"),
        ("differs", "phone"),
    ]
    assert kinds(differences(projection(), RemoteContact("1", {"nerava_event_sequence": "4"}))) == [
        ("ahead", "nerava_event_sequence")
    ]
    assert kinds(differences(projection(), None)) == [("missing", "")]
    assert differences(projection(), RemoteContact("1", {"nerava_event_sequence": "3"})) == []


def test_what_is_told_of_a_difference_holds_no_whole_email() -> None:
    [found] = differences(projection(), None)

    assert "ada@" not in str(found.as_json())
