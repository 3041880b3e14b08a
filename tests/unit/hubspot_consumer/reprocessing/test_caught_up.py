"""A run writes a contact only with all events that come before one that it has read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from hubspot_consumer.history.projection import Selection
from hubspot_consumer.history.store import EventStore, Stored
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from schemas.contacts import ContactKey
from tests.samples import EMAIL, envelope, value

ADA = ContactKey(EMAIL)


class Topics:
    """Topics of which each look reads some more events."""

    def __init__(self, store: EventStore, *looks: tuple[int, ...]) -> None:
        self._store = store
        self._looks = list(looks)
        self.looked = 0

    async def caught_up(self) -> None:
        self.looked += 1
        events = self._looks.pop(0) if self._looks else ()
        made = [value(envelope("nova_earned", sequence)) for sequence in events]
        rows = [
            Stored(ADA, one, "lifecycle.nova_earned", 0, one, one, each) for one, each in zip(events, made, strict=True)
        ]
        self._store.add(rows, {})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = EventStore(tmp_path / "run.sqlite")
    yield store
    store.close()


def projections_of(store: EventStore, topics: Topics) -> TopicProjections:
    run = cast("Run", cast("Any", type("OpenRun", (), {"store": store})))
    report = Report.model_validate({"most_refused": 100})
    return TopicProjections(run, cast("Any", topics), cast("Any", None), Selection(), report)


async def test_an_event_of_which_an_earlier_one_was_not_read_is_waited_for(store: EventStore) -> None:
    topics = Topics(store, (1, 2, 4), (3,))

    await projections_of(store, topics).caught_up([ADA])

    assert [event.sequence for event in store.events_of(ADA)] == [1, 2, 3, 4]


async def test_without_such_an_event_the_topics_are_looked_at_once(store: EventStore) -> None:
    topics = Topics(store, (1, 2, 3), (4,))

    await projections_of(store, topics).caught_up([ADA])

    assert topics.looked == 1


async def test_an_event_that_is_missing_for_good_is_looked_for_once_more(store: EventStore) -> None:
    topics = Topics(store, (1, 2, 4))

    await projections_of(store, topics).caught_up([ADA])

    assert topics.looked == 2


async def test_as_long_as_others_are_missing_the_topics_are_looked_at_again(store: EventStore) -> None:
    topics = Topics(store, (1, 3), (2, 5), (4,))

    await projections_of(store, topics).caught_up([ADA])

    assert [event.sequence for event in store.events_of(ADA)] == [1, 2, 3, 4, 5]
