"""The Pythons that we promise, where that is said."""

import tomllib
from pathlib import Path

import pytest

from upkeep.pythons import PROMISED, found

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("project", ["pyproject.toml", "docker/pyproject.toml"])
def test_the_promised_pythons_are_those_that_make_pythons_tests(project: str) -> None:
    described = tomllib.loads((ROOT / project).read_text())["project"]
    named = {line.rpartition(" ")[2] for line in described["classifiers"] if "Python ::" in line}

    assert named == set(PROMISED)
    assert described["requires-python"] == ">=3.11,<3.15"


def test_an_interpreter_that_only_says_where_others_are_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shims, real = tmp_path / "shims", tmp_path / "versions" / "3.12.1" / "bin"
    for folder, name, says in ((shims, "python3.12", "exit 127"), (real, "python", "echo Python 3.12.1")):
        folder.mkdir(parents=True)
        (folder / name).write_text(f"#!/bin/sh\n{says}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(shims))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))

    assert found() == {"3.11": None, "3.12": real / "python", "3.13": None, "3.14": None}
