"""A mutant, as data: the texts that are replaced, and what that breaks."""

import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[3]


class NotApplicable(ValueError):
    """The text that a mutant replaces does not occur exactly once."""


@dataclass(frozen=True)
class Edit:
    """A text of a file that occurs exactly once, and what stands in its place."""

    file: str
    old: str
    new: str

    def apply_to(self, text: str) -> str:
        """Return *text* with the edit. Raises NotApplicable."""
        if (times := text.count(self.old)) != 1:
            raise NotApplicable(f"{self.file} has {times} times, and not once: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutant:
    """What is edited, and what that breaks. It shows only in a schedule with one of *features*, if there are any;
    `A+B` is both.

    *hidden* says why no schedule shows it, if none does: then the tests in the file *found_by* have to find it.
    """

    name: str
    breaks: str
    edits: Sequence[Edit]
    features: Sequence[str] = ()
    hidden: str = ""
    found_by: str = ""

    @classmethod
    def read(cls, name: str, written: Mapping[str, Any]) -> Self:
        edits = [{key: written[key] for key in ("file", "old", "new")}, *written.get("also", ())]
        return cls(
            name,
            written["breaks"],
            [Edit(**edit) for edit in edits],
            written.get("features", ()),
            written.get("hidden", ""),
            written.get("found_by", ""),
        )

    def texts(self) -> dict[str, str]:
        """Return the edited files. Raises NotApplicable."""
        texts: dict[str, str] = {}
        for edit in self.edits:
            text = texts.get(edit.file) or (ROOT / edit.file).read_text("utf-8")
            texts[edit.file] = edit.apply_to(text)
        return texts

    def write(self, folder: Path) -> None:
        """Write the packages of the edited files into *folder*, with the edits. Raises NotApplicable."""
        for file, text in self.texts().items():
            package = Path(file).parts[0]
            if not (folder / package).exists():
                shutil.copytree(ROOT / package, folder / package)
            (folder / file).write_text(text, "utf-8")


def mutants() -> dict[str, Mutant]:
    """Return all mutants by name."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    written = [(name, one) for file in files for name, one in tomllib.loads(file.read_text("utf-8")).items()]
    return {name: Mutant.read(name, one) for name, one in written}
