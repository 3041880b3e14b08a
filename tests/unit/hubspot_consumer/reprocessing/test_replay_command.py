"""`replay`, as a process is asked for it: which times its ages mean."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.cli import replay as command
from hubspot_consumer.cli.options import ago
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.settings import Settings
from tests.samples import UNTELLABLE

pytestmark = pytest.mark.usefixtures("own_logs")

BEGAN = datetime(2026, 11, 17, 3, tzinfo=UTC)


@pytest.fixture
def selected(monkeypatch: pytest.MonkeyPatch) -> list[Selection]:
    """What the command was about to replay."""
    found: list[Selection] = []

    def work_in_session(work: Any, _command: str, _settings: Settings, run: Run, **_options: Any) -> None:
        run.close(keep=True)
        found.append(work.keywords["selection"])
        raise SystemExit(0)

    monkeypatch.setattr(command, "work_in_session", work_in_session)
    monkeypatch.setattr(command, "settings_of_run", lambda **_: Settings())
    return found


def replay(folder: Path, since: str) -> None:
    with pytest.raises(SystemExit) as ended:
        command.replay(since=since, until="1h", yes=True, folder=folder)
    assert ended.value.code == 0


def test_the_ages_of_a_replay_that_is_gone_on_with_are_of_when_it_was_begun(
    tmp_path: Path, selected: list[Selection]
) -> None:
    asked = {"since": "24h", "until": "1h", "event_types": [], "timeline": True}
    Run.open(tmp_path, "replay", asked, BEGAN, fresh=False).close(keep=True)

    replay(tmp_path, "24h")

    [selection] = selected
    assert (selection.since, selection.until) == (BEGAN - timedelta(hours=24), BEGAN - timedelta(hours=1))


@pytest.mark.parametrize("since", ["yesterday", *UNTELLABLE])
def test_what_is_no_time_is_refused_and_leaves_nothing(tmp_path: Path, selected: list[Selection], since: str) -> None:
    with pytest.raises(SystemExit) as ended:
        command.replay(since=since, yes=True, folder=tmp_path / "runs")

    assert (ended.value.code, selected, list(tmp_path.iterdir())) == (2, [], [])


@given(st.from_regex(r"[0-9]{1,6}[mhd]", fullmatch=True))
def test_an_age_is_never_later_than_now_nor_before_there_were_events(age: str) -> None:
    then = ago(age, BEGAN)

    assert then is not None
    assert datetime(1970, 1, 1, tzinfo=UTC) <= then <= BEGAN
