"""The file of an export: there once it is whole, and never half of one in another's place."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubspot_consumer.cli.dead_letters.export import Exported
from hubspot_consumer.cli.exit_codes import NotDone


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


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reads = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    with Exported(pipe, force=True) as exported:
        exported.write(b"through it")

    assert os.read(reads, 100) == b"through it"
    os.close(reads)
    assert pipe.is_fifo()


@pytest.fixture
def small_files() -> Iterator[None]:
    """A limit on files that does what a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_what_can_not_be_written_is_named_and_leaves_no_half_of_it(tmp_path: Path) -> None:
    exported = Exported(tmp_path / "dead.jsonl", force=True)

    with pytest.raises(NotDone, match=r"FILE: .*/dead\.jsonl can't be written: File too large"), exported:
        exported.write(b"x" * 1_000_000)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotDone, match="Is a directory"), Exported(tmp_path, force=True):
        pass
