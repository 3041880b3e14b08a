"""The recording of the demo: what a terminal showed, as a picture that plays once; and the one that is published."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from upkeep.site.recording import Line, NotToBePublished, Said, lines, record, refuse_private, svg

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "pictures" / "demo.svg"
NAMESPACE = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    """Return what stays on the screen, row by row."""
    stays = [text for text in ET.fromstring(picture).iter(f"{NAMESPACE}text") if text.get("class") == "stays"]
    return ["".join(row.itertext()) for row in sorted(stays, key=lambda text: int(text.get("y", "0")))]


def test_a_bar_that_is_drawn_again_shows_each_state_for_its_time_and_stays_as_it_ended() -> None:
    shown = lines([Said(0, "begun\r\n"), Said(0.5, "10 %\r\n"), Said(1.0, "\x1b[1A\x1b[2K20 %\r\n")])

    assert shown == [Line(1, "10 %", 0.5, 1.0), Line(0, "begun", 0.0, None), Line(1, "20 %", 1.0, None)]


def test_what_is_drawn_all_the_time_is_shown_as_frames() -> None:
    bars = [Said(tenth / 10, f"\x1b[1A\x1b[2K{tenth}\r\n") for tenth in range(1, 21)]

    shown = lines([Said(0, "0\r\n"), *bars])

    # Of ten pictures a second, every fourth is a frame, or the next.
    assert 5 <= len(shown) <= 7
    assert (shown[0].text, shown[-1].text) == ("0", "20")
    assert [before.to_s for before in shown[:-1]] == [line.from_s for line in shown[1:]]


def test_a_long_wait_is_shortened() -> None:
    assert [line.from_s for line in lines([Said(0, "a\r\n"), Said(60, "b\r\n")])] == [0.0, 1.0]


def test_colours_and_what_xml_reserves_are_kept() -> None:
    picture = svg([Line(0, "\x1b[1;31mno\x1b[0m <yes>", 0.0, None)], "a & b")

    assert texts(picture) == ["no <yes>"]
    assert 'font-weight="bold"' in picture


def test_what_a_command_writes_is_recorded_as_a_terminal_shows_it() -> None:
    said = record([sys.executable, "-c", "import sys; print(sys.stdout.isatty(), '─')"], ROOT)

    assert [line.text for line in lines(said)] == ["True ─"]


def test_a_command_that_fails_and_a_path_of_the_machine_are_refused() -> None:
    with pytest.raises(NotToBePublished, match="code 3"):
        record([sys.executable, "-c", "raise SystemExit(3)"], ROOT)
    with pytest.raises(NotToBePublished, match="/some/where"):
        refuse_private("at /some/where", ["/some/where"])


def test_the_published_recording_tells_the_story_as_the_demo_tells_it_now() -> None:
    told = re.sub(r"\s+", " ", " ".join(texts(PUBLISHED.read_text())))

    for words in (
        "HubSpot is down",
        "is poisoned",
        "HubSpot is back",
        "All that waited",
        "is accounted for",
        "ARGS=--open",
    ):
        assert words in told
        assert any(words in path.read_text() for path in (ROOT / "sandbox").rglob("*.py")), words


def test_the_published_recording_has_no_path_no_script_and_nothing_from_elsewhere() -> None:
    picture = PUBLISHED.read_text()

    assert not re.search(r"/(?:root|home|work|tmp|Users)\b", picture)
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S+", picture) == []
    assert "<script" not in picture
