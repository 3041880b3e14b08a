"""What a program that watches a command is told."""

import json
import threading

import pytest

from hubspot_consumer.cli.progress import JsonLines, display


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return the lines without their times, which never go back."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    times = [line.pop("after_s") for line in lines if "part" in line]
    assert times == sorted(times)
    assert times[0] >= 0
    return lines


def test_each_part_is_told_from_its_beginning_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    with display("json") as watcher:
        with watcher.progress("read") as shown:
            shown(1, 3)
            shown(3, 3)
        watcher.tell("words", plan={"events": 3})
        with watcher.progress("contacts") as shown:
            shown(2, 2)

    assert told(capsys) == [
        {"part": "read", "done": 0, "total": None},
        {"part": "read", "done": 3, "total": 3},
        {"plan": {"events": 3}},
        {"part": "contacts", "done": 0, "total": None},
        {"part": "contacts", "done": 2, "total": 2},
    ]


def test_it_is_told_again_while_nothing_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = threading.Event()
    tell = JsonLines.tell_now

    def tell_and_say_so(watcher: JsonLines) -> None:
        tell(watcher)
        again.set()

    monkeypatch.setattr(JsonLines, "tell_now", tell_and_say_so)

    with JsonLines() as watcher:
        watcher.begin("plan")
        assert again.wait(10)

    assert told(capsys)[:2] == [{"part": "plan", "done": 0, "total": None}] * 2


def test_a_person_is_told_the_plan_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with display("bars") as shown:
        shown.tell("3 events", plan={"events": 3})

    assert capsys.readouterr().err == "3 events\n"
