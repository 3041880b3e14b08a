"""Holds in a worker: when they begin and end, what they do to the quota, and when they are answered."""

from datetime import timedelta

import pytest

from hubspot_consumer.holds.records import FOR_S, MOST_QUOTA_SHARE, Released, RunEnded, Written
from tests.clock import OwnedClock
from tests.kafka.hold_records import as_read
from tests.lane_bench import ADA, GRACE, sequences_of
from tests.workers.hold_worker import Worker, begun


@pytest.fixture
def worker() -> Worker:
    return Worker(OwnedClock())


def test_a_held_contact_is_taken_by_no_kind_of_call_and_others_are(worker: Worker) -> None:
    worker.hear(begun(1, ADA))
    worker.bench.add(1)
    worker.bench.add(1, key=GRACE)
    assert worker.bench.taken() == [[1]]
    assert worker.lanes.held == 1

    worker.hear(Released(run="r", number=1))

    assert worker.bench.taken() == [[1]]
    assert worker.bench.finished == {(ADA, 1): 1, (GRACE, 1): 1}


def test_what_the_run_wrote_is_not_written_again_and_leaves_its_timeline_entries(worker: Worker) -> None:
    worker.bench.add(1)
    worker.bench.taken()
    worker.hear(begun(1, ADA))
    worker.bench.add(2, 3, 4)

    worker.hear(Released(run="r", number=1, written={ADA: Written(sequence=3, contact_id="77")}))

    [update] = worker.bench.take()
    assert (update.written, sequences_of(update), update.lane.contact_id) == (True, [2, 3], "77")
    worker.lanes.finished(update)
    [update] = worker.bench.take()
    assert (update.written, sequences_of(update)) == (False, [4])


def test_a_contact_of_which_nothing_was_known_is_looked_up_no_more_once_the_run_wrote_it(worker: Worker) -> None:
    worker.hear(begun(1, ADA))
    worker.bench.add(3)
    worker.hear(Released(run="r", number=1, written={ADA: Written(sequence=2, contact_id="77")}))

    assert worker.lanes.unknown == 0
    [update] = worker.bench.take()
    assert (update.written, sequences_of(update)) == (False, [3])


def test_what_a_run_wrote_and_nobody_had_read_leaves_its_entries_in_order(worker: Worker) -> None:
    read_as_far = False
    worker.lanes._earlier_were_read = lambda *_: read_as_far
    worker.bench.add(1)
    worker.bench.taken()
    worker.hear(begun(1, ADA))
    worker.hear(Released(run="r", number=1, written={ADA: Written(sequence=3, contact_id=None)}))

    worker.bench.add(3)
    assert worker.bench.take() == [], "event 2 may be unread, whose entry comes first"
    worker.bench.add(2)
    read_as_far = True
    worker.clock.advance(1)

    assert [sequences_of(update) for update in worker.bench.take()] == [[2, 3]]


def test_what_a_run_that_is_not_heard_of_any_more_may_have_written_is_looked_up(worker: Worker) -> None:
    worker.bench.add(1)
    worker.bench.taken()
    worker.hear(begun(1, ADA))
    worker.bench.add(2)
    worker.clock.advance(FOR_S - 1)
    assert worker.holds.expire() == pytest.approx(1)
    assert worker.bench.taken() == []

    worker.clock.advance(1)
    assert worker.holds.expire() is None

    assert (worker.lanes.unknown, worker.holds.report()) == (1, None)
    worker.bench.look_up(1)
    assert worker.bench.taken() == [[2]]


def test_a_hold_that_was_released_late_is_over_already(worker: Worker) -> None:
    worker.bench.add(1)
    worker.bench.taken()
    worker.hear(begun(1, ADA))
    worker.clock.advance(FOR_S)
    worker.holds.expire()
    worker.bench.add(2)
    worker.bench.look_up(1)

    worker.hear(Released(run="r", number=1, written={ADA: Written(sequence=9, contact_id=None)}))

    [update] = worker.bench.take()
    assert (update.written, sequences_of(update)) == (False, [2])


def test_a_contact_of_two_holds_waits_for_the_end_of_both(worker: Worker) -> None:
    worker.hear(begun(1, ADA))
    worker.hear(begun(2, ADA, GRACE))
    worker.bench.add(1)
    worker.hear(Released(run="r", number=1))
    assert worker.bench.take() == []

    worker.hear(RunEnded(run="r"))

    worker.bench.look_up(0)
    assert worker.bench.taken() == [[1]]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no JSON",
        b'{"kind": "hold", "run": "r"}',
        b'{"kind": "greeting", "run": "r"}',
        b'{"kind": "hold", "run": "r", "number": 1, "command": "replay", "quota_share": 1.5}',
        *(
            b'{"kind": "hold", "run": "r", "number": 1, "command": "replay", "quota_share": %s}' % share
            for share in (b"0.99999999999", b"0.91", b"1", b"-0.1", b"NaN", b"Infinity", b"1e400")
        ),
        *(
            b'{"kind": "hold", "run": "r", "number": 1, "command": "replay", "quota_share": 0.3, "for_s": %s}' % for_s
            for for_s in (b"601", b"NaN", b"Infinity", b"0", b"-1")
        ),
        b'{"kind": "hold", "run": "r", "number": 1, "quota_share": 0.3, "command": "%s"}' % (b"x" * 201),
        b'{"kind": "hold", "run": "%s", "number": 1, "quota_share": 0.3, "command": "x"}' % (b"x" * 201),
        b'{"kind": "hold", "run": "r", "number": %s, "quota_share": 0.3, "command": "x"}' % (b"1" * 4_000),
        b'{"kind": "hold", "run": "r", "number": 1, "quota_share": 0.3, "command": "x", "contacts": ["%s"]}'
        % (b"x" * 321),
        b"\xff",
    ],
)
def test_what_nobody_can_read_is_passed_over(worker: Worker, value: bytes) -> None:
    worker.hear(value)

    assert (worker.holds.report(), worker.holds.to_answer(), worker.pacing.lent) == (None, [], 0.0)


def test_a_newer_version_may_add_fields(worker: Worker) -> None:
    worker.hear(begun(1, ADA).model_dump_json().replace('{"', '{"reason":"x","', 1).encode())

    assert worker.lanes.is_held(ADA)


def test_a_record_counts_whatever_this_hosts_clock_says_of_its_age(worker: Worker) -> None:
    worker.hear(begun(1, ADA), old=timedelta(hours=1))

    assert worker.lanes.is_held(ADA)


def test_a_run_has_its_share_of_the_quota_until_it_ends_and_each_hold_renews_it(worker: Worker) -> None:
    worker.hear(begun(1))
    assert worker.pacing.lent == 0.4
    worker.clock.advance(FOR_S - 1)
    worker.hear(begun(2))
    worker.clock.advance(FOR_S - 1)
    worker.holds.expire()
    assert worker.pacing.lent == 0.4
    worker.hear(begun(1, run="another", share=0.7))
    assert worker.pacing.lent == 0.7
    worker.hear(RunEnded(run="another"))
    assert worker.pacing.lent == 0.4

    worker.clock.advance(1)
    worker.holds.expire()

    assert worker.pacing.lent == 0.0


def test_as_much_as_a_run_may_ask_for_is_lent_and_of_two_runs_the_one_that_has_it_is_told(worker: Worker) -> None:
    worker.hear(begun(1, share=0.1))
    worker.hear(begun(1, run="greedy", share=MOST_QUOTA_SHARE))

    assert worker.pacing.lent == MOST_QUOTA_SHARE
    assert worker.holds.report() == {"run": "greedy", "command": "replay", "quota_share": 0.9, "contacts_held": 0}


def test_the_status_tells_the_run_and_how_many_contacts_it_holds_and_no_email(worker: Worker) -> None:
    worker.hear(begun(1, ADA))
    worker.hear(begun(2, ADA, GRACE))

    assert worker.holds.report() == {"run": "r", "command": "replay", "quota_share": 0.4, "contacts_held": 2}


def test_a_record_with_a_time_beyond_all_reason_does_no_harm(worker: Worker) -> None:
    for timestamp in (-1, 10**18):
        record = as_read(begun(1, ADA), worker.clock.now())
        record.timestamp = timestamp
        worker.holds.take_in(record)

    assert worker.lanes.is_held(ADA)
