"""The history: samples and minutes of the flow in memory, and its file, from which the next console goes on."""

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.overview.backlog import OutboxBacklog
from console.overview.past.history import FIGURES, FINE_FOR_S, KEPT_FOR_S, MINUTE_S, History, Sample, columns
from console.overview.past.history_file import FILE, HistoryFile, Kept
from console.overview.past.marks import Mark
from console.sqlite_files import delete
from tests.clock import START
from tests.console.world import HALT, World, worker

NOW = int(START.timestamp())
STEPS = st.lists(st.integers(1, 700), min_size=1, max_size=400)


def samples(steps: Sequence[int]) -> list[Sample]:
    at, found = NOW, []
    for number, step in enumerate(steps):
        at += step
        figure = None if number % 7 == 3 else float(number)
        found.append(Sample(at, {"lag": figure, "written_per_s": figure}))
    return found


@given(STEPS)
def test_a_minute_has_the_mean_of_rates_and_the_highest_of_what_waits(steps: list[int]) -> None:
    history, added = History(), samples(steps)
    for sample in added:
        history.add(sample)

    for minute in history.minutes:
        within = [each.figures["lag"] for each in added if minute.at <= each.at < minute.at + MINUTE_S]
        known = [each for each in within if each is not None]
        assert minute.at % MINUTE_S == 0
        assert minute.figures["lag"] == (max(known) if known else None)
        assert minute.figures["written_per_s"] == (pytest.approx(fmean(known), rel=0.001) if known else None)


@given(STEPS)
def test_times_rise_gaps_are_shown_and_nothing_is_older_than_it_may_be(steps: list[int]) -> None:
    history, added = History(), samples(steps)
    for sample in added:
        history.add(sample)
    now = added[-1].at

    for hours in (1, 6, 24):
        found = columns(history.since(now - hours * 3_600))
        times = [at for at in found["at"] if at is not None]
        assert times == sorted(set(times))
        assert times[0] >= now - hours * 3_600
        assert times[-1] == (now if hours == 1 else now // MINUTE_S * MINUTE_S)
        for (before, figure), after in zip(zip(times, found["lag"], strict=True), times[1:], strict=False):
            assert after - before <= 3 * MINUTE_S or figure is None


def test_the_fine_samples_are_of_an_hour_and_the_minutes_of_a_day() -> None:
    history = History()
    for number in range(26 * 720):
        history.add(Sample(NOW + number * 5, {"lag": 1.0}))
    now = history.fine[-1].at

    assert (len(history.fine), len(history.minutes)) == (720, 1_440)
    assert {each.step for each in history.since(now - 3_600)} == {5}
    assert len(history.since(now - 24 * 3_600)) == pytest.approx(1_440, abs=13)
    assert [each.at for each in history.since(now - 3_600, after=now - 10)] == [now - 10, now - 5, now]


def test_a_page_of_hours_that_stays_open_gets_each_minute_once_and_the_last_one_again_while_it_goes_on() -> None:
    history = History()
    shown: dict[int, Sample] = {}
    for number in range(2 * 720):
        history.add(Sample(NOW + number * 5, {"lag": float(number)}))
        if number >= 720:
            answer = history.since(history.fine[-1].at - 6 * 3_600, after=max(shown, default=0))
            assert len(answer) <= 2 or not shown
            shown |= {each.at: each for each in answer}

    times = sorted(shown)
    assert {later - before for before, later in pairwise(times)} == {MINUTE_S}
    assert {each.step for each in shown.values()} == {MINUTE_S}
    assert [shown[at] for at in times[:-1]] == [*history.minutes]


def test_a_clock_that_was_set_back_leaves_no_sample_of_a_time_to_come() -> None:
    history = History()
    for at in (NOW, NOW + 300, NOW + 600, NOW + 5, NOW + 10):
        history.add(Sample(at, {}))

    assert [each.at for each in history.fine] == [NOW, NOW + 5, NOW + 10]


@pytest.mark.parametrize("off_s", [-40 * KEPT_FOR_S, -300, 40 * KEPT_FOR_S])
async def test_one_sample_with_a_wrong_time_takes_nothing_of_the_day(tmp_path: Path, off_s: float) -> None:
    world = World(workers=[worker(0, halted=HALT), worker(0)])
    overview = world.overview(tmp_path)
    for _ in range(40):
        await world.sampled(overview)
    times, minutes = [each.at for each in overview.history.fine], [*overview.history.minutes]

    await world.sampled(overview, off_s)
    await world.sampled(overview, 5 - off_s)

    assert [each.at for each in overview.history.fine] == [*times, times[-1] + 5]
    assert [*overview.history.minutes] == minutes
    assert [mark.kind for mark in overview.marks] == ["halt"]
    overview.file.close()
    kept = HistoryFile(tmp_path).load()
    assert [each.at for each in kept.of(5)] == [*times, times[-1] + 5]
    assert kept.of(60) == minutes


async def test_a_console_that_starts_with_an_old_time_takes_nothing_of_the_day(tmp_path: Path) -> None:
    world = World()
    before = world.overview(tmp_path)
    for _ in range(40):
        await world.sampled(before)
    before.file.close()

    world.clock.advance(-40 * KEPT_FOR_S)
    overview = world.overview(tmp_path)
    await overview.restore()
    await world.sampled(overview)
    await world.sampled(overview, 40 * KEPT_FOR_S)

    assert len(overview.history.fine) == 41
    overview.file.close()
    assert len(HistoryFile(tmp_path).load().of(5)) == 41


async def test_a_clock_that_stays_set_is_believed(tmp_path: Path) -> None:
    world = World()
    overview = world.overview(tmp_path)
    for after_s in (5, 5, 5, 40 * KEPT_FOR_S, 5, 5, -20 * KEPT_FOR_S, 5, 5):
        await world.sampled(overview, after_s)

    overview.file.close()
    of_now = [world.clock.now().timestamp() - age_s for age_s in (10, 5, 0)]
    assert [each.at for each in overview.history.fine][-3:] == of_now
    assert [each.at for each in HistoryFile(tmp_path).load().of(5)] == of_now


def test_what_arrives_is_what_is_written_and_what_the_outbox_gains() -> None:
    history = History()
    for number in range(100):
        figures = {"written_per_s": 10.0, "outbox_rows": 20.0 * number, "delivered_per_s": 8.0, "calls_per_s": 2.0}
        history.add(Sample(NOW + number * 5, figures))

    recent = history.recent(NOW + 500)

    assert recent.arriving_per_s == pytest.approx(14)
    assert (recent.delivered_per_s, recent.calls_per_s, recent.most_delivered_per_s) == (8, 2, 8)


def test_what_arrives_is_not_what_the_outbox_gained_while_kafka_was_away() -> None:
    history = History()
    rows = 0.0
    # Ten events arrive in a second. For five minutes nobody knows what is written; then it is 60 in a second.
    for number in range(120):
        written = None if 40 <= number < 100 else 60.0 if rows else 10.0
        rows += 5 * (10 - (written or 0))
        history.add(Sample(NOW + number * 5, {"written_per_s": written, "outbox_rows": rows}))

    assert history.recent(NOW + 595).arriving_per_s == pytest.approx(10)


def test_what_waits_has_risen_or_fallen_in_the_last_minutes_and_not_before_them() -> None:
    history = History()
    # What left the outbox for Kafka waits all the same, and a time in which Kafka did not tell does not count.
    for number in range(120):
        rows, lag = (number * 100.0, 0.0) if number < 75 else (0.0, 9_000 - 30.0 * number)
        history.add(Sample(NOW + number * 5, {"outbox_rows": rows, "lag": None if number == 105 else lag}))

    assert history.recent(NOW + 370).waiting_risen_per_s == pytest.approx(20)
    assert history.recent(NOW + 595).waiting_risen_per_s == pytest.approx(-6)
    assert History().recent(NOW).waiting_risen_per_s is None


async def test_the_charts_have_a_gap_where_nobody_could_tell() -> None:
    world = World()
    overview = world.overview()
    for outbox in (OutboxBacklog(3, None, 0), None, OutboxBacklog(4, None, 0)):
        world.outbox = outbox
        await world.sampled(overview)

    charts = await overview.charts(1)

    assert charts["outbox_rows"] == [3, None, 4]
    assert [at - charts["at"][0] for at in charts["at"]] == [0, 5, 10]


async def test_the_next_console_goes_on_with_the_charts_and_marks_of_the_one_before(tmp_path: Path) -> None:
    world = World(workers=[worker(0, halted=HALT), worker(0)])
    overview = world.overview(tmp_path)
    for _ in range(40):
        await world.sampled(overview)
    before, happened = await overview.charts(24), await overview.happened(24)
    overview.file.close()
    assert len(before["at"]) > 2
    assert [mark.kind for mark in happened] == ["halt"]

    following = world.overview(tmp_path)
    await following.restore()

    assert await following.charts(24) == before
    assert (await following.charts(1))["lag"] == [4] * 40
    [mark] = await following.happened(24)
    assert (mark.key, mark.began, mark.goes_on) == (happened[0].key, happened[0].began, False)
    following.file.close()


@pytest.mark.parametrize("content", [b"no database" * 500, b"", b"SQLite format 3\x00" + b"x" * 8_000])
async def test_a_damaged_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    world = World()
    overview = world.overview(tmp_path)

    await overview.restore()
    for _ in range(3):
        await world.sampled(overview)

    assert len((await overview.charts(1))["at"]) == 3
    overview.file.close()
    assert len(HistoryFile(tmp_path).load().samples) == 3


async def test_a_file_that_is_damaged_or_deleted_meanwhile_gets_all_that_is_known(tmp_path: Path) -> None:
    world = World()
    overview = world.overview(tmp_path)
    for number in range(12):
        await world.sampled(overview)
        if number == 3:
            (tmp_path / FILE).unlink()
        if number == 7:
            overview.file.close()
            (tmp_path / FILE).write_bytes(b"x" * 9_000)
    overview.file.close()

    assert len(HistoryFile(tmp_path).load().of(5)) == 12


async def test_a_file_that_is_replaced_meanwhile_gets_all_that_is_known(tmp_path: Path) -> None:
    world = World()
    overview = world.overview(tmp_path / "console")
    other = HistoryFile(tmp_path / "other")
    other.save(Kept(), Kept([Sample(NOW - 60, {"lag": 1.0})]), NOW)
    other.close()
    for number in range(12):
        await world.sampled(overview)
        if number == 5:
            delete(overview.file.file)
            other.file.replace(overview.file.file)
    overview.file.close()

    kept = [each.at for each in HistoryFile(tmp_path / "console").load().of(5)]
    assert kept == [NOW - 60, *(NOW + 5 * number for number in range(1, 13))]


@pytest.mark.parametrize(
    "schema",
    [
        "PRAGMA user_version = 1",
        "CREATE TABLE marks (x)",
        "CREATE TABLE samples (at, x); CREATE TABLE marks (x); CREATE TABLE versions (x); PRAGMA user_version = 1",
    ],
)
async def test_a_file_with_other_tables_is_made_anew(tmp_path: Path, schema: str) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.executescript(schema)
    connection.close()
    world = World()
    overview = world.overview(tmp_path)

    await overview.restore()
    for _ in range(3):
        await world.sampled(overview)
    overview.file.close()

    assert len(HistoryFile(tmp_path).load().of(5)) == 3


async def test_a_folder_that_can_not_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    world = World()
    overview = world.overview(tmp_path / "a file")

    await overview.restore()
    for _ in range(3):
        await world.sampled(overview)

    assert len((await overview.charts(1))["at"]) == 3


async def test_a_file_of_another_version_is_replaced_and_its_odd_rows_are_passed_over(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path)
    sample, mark = Sample(NOW, {"lag": 1.0, "of a newer version": 2.0}), Mark("a", "halt", "words", NOW, NOW)
    file.save(Kept([sample], [mark], {"consumers": ("1",)}), Kept(), NOW)
    file.save(Kept([sample], [mark], {"consumers": ("1",)}), Kept(), NOW)
    file.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("INSERT INTO samples VALUES (5, ?, '[]')", (NOW - 5,))
        connection.execute("INSERT INTO samples VALUES (5, ?, x'ff')", (NOW - 10,))
        connection.execute("INSERT INTO marks VALUES ('b', 1, 1, '{\"key\": 7}')")
    connection.close()
    assert HistoryFile(tmp_path).load() == Kept([sample], [mark], {"consumers": ("1",)})

    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert HistoryFile(tmp_path).load() == Kept([], [], {})


def test_the_file_keeps_nothing_that_is_too_old(tmp_path: Path) -> None:
    file, history = HistoryFile(tmp_path), History()
    for number in range(0, 30 * 3_600, 300):
        sample = Sample(NOW + number, dict.fromkeys(FIGURES, 1.0))
        new = history.add(sample)
        mark = Mark(str(number), "problem", "words", sample.at, sample.at)
        file.save(Kept(new, [mark]), Kept(), sample.at)
    kept = file.load()
    file.close()

    assert min(each.at for each in kept.of(5)) >= sample.at - FINE_FOR_S
    assert min(each.at for each in kept.of(60)) >= sample.at - KEPT_FOR_S
    assert len(kept.of(60)) == KEPT_FOR_S // 300
    assert min(each.until for each in kept.marks) >= sample.at - KEPT_FOR_S
