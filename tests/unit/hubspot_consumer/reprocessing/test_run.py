"""A run's files: it goes on where it was, once at a time, and for what was asked."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hubspot_consumer.reprocessing.run import CannotOpen, Run

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
ASKED = {"since": "24h"}


def opened(folder: Path, asked: object = None, *, fresh: bool = False) -> Run:
    return Run.open(folder, "replay", {"asked": asked or ASKED}, NOW, fresh=fresh)


def test_a_run_that_was_not_finished_goes_on_with_its_id_and_what_it_kept(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.store.keep(written_up_to="ada@example.com")
    first.close(keep=True)

    again = opened(tmp_path)

    assert (again.id, again.resumed, again.began) == (first.id, True, NOW)
    assert again.store.fact("written_up_to") == "ada@example.com"
    again.close(keep=False)


def test_a_run_that_was_finished_leaves_a_report_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    first = opened(tmp_path)

    report = first.finish({"contacts": 1})
    second = opened(tmp_path)

    assert '"contacts": 1' in report.read_text()
    assert (second.resumed, second.id != first.id) == (False, True)
    second.close(keep=False)


def test_one_that_was_asked_for_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    opened(tmp_path).close(keep=True)

    with pytest.raises(CannotOpen, match="--fresh"):
        opened(tmp_path, {"since": "7d"})
    other = opened(tmp_path, {"since": "7d"}, fresh=True)
    other.close(keep=False)
    assert not other.resumed


def test_what_it_keeps_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    run = opened(tmp_path)
    run.store.keep(written_up_to="ada@example.com")

    stores = list(tmp_path.glob("replay.sqlite*"))
    assert len(stores) > 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in stores} == {0o600}
    run.close(keep=False)


def test_two_processes_do_not_run_the_same(tmp_path: Path) -> None:
    first = opened(tmp_path)

    with pytest.raises(CannotOpen, match="another process"):
        opened(tmp_path)
    first.close(keep=True)
    again = opened(tmp_path)
    again.close(keep=False)
    assert again.resumed


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(CannotOpen, match="--folder"):
        opened(tmp_path / "file")
