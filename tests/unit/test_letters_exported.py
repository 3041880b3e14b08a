"""The file of an export: there once it is whole, and never half of one in another's place."""

from pathlib import Path

import pytest

from hubspot_consumer.reprocessing.commands.ending import NotDone
from hubspot_consumer.reprocessing.commands.letters_exported import Exported


class Ended(Exception):
    """Something ends the export."""


def write_half(file: Path) -> None:
    with Exported(file, force=True) as exported:
        exported.write(b"half")
        raise Ended


@pytest.mark.parametrize("before", [None, "an older one"])
def test_an_export_that_is_ended_leaves_everything_as_it_was(tmp_path: Path, before: str | None) -> None:
    file = tmp_path / "dead.jsonl"
    if before is not None:
        file.write_text(before)

    with pytest.raises(Ended):
        write_half(file)

    assert [path.read_text() for path in tmp_path.iterdir()] == ([before] if before is not None else [])


def test_a_file_that_is_there_is_not_written_over_unless_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "dead.jsonl"
    file.write_text("an older one")

    with pytest.raises(SystemExit, match="2"):
        Exported(file, force=False)
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "an older one"

    with Exported(file, force=True) as exported:
        exported.write(b"a newer one")
    assert file.read_text() == "a newer one"


def test_a_pipe_or_device_is_written_to_and_not_replaced() -> None:
    null = Path("/dev/null")

    with Exported(null, force=True) as exported:
        exported.write(b"into nothing")

    assert null.is_char_device()


def test_a_full_disk_is_named() -> None:
    exported = Exported(Path("/dev/full"), force=True)

    with pytest.raises(NotDone, match=r"FILE: /dev/full can't be written: No space left on device"), exported:
        exported.write(b"x" * 1_000_000)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotDone, match="Is a directory"), Exported(tmp_path, force=True):
        pass
