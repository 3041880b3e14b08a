"""`python -m upkeep release` sets one version everywhere, and cuts the changelog; on a copy of the files."""

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

import upkeep.__main__
from upkeep.release import CHANGELOG, VERSIONED, NotReleasable, released

ROOT = Path(__file__).parents[3]
CHART = "deploy/helm/nerava-lifecycle/Chart.yaml"
ON = date(2026, 12, 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the files, with a change to be released."""
    for name in (*VERSIONED, "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    changelog = "# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 0.0.9 - 2026-01-01\n\n### Added\n- All.\n"
    (tmp_path / CHANGELOG).write_text(changelog)
    return tmp_path


def write(texts: dict[Path, str]) -> None:
    for path, text in texts.items():
        path.write_text(text)


def test_both_distributions_the_chart_and_the_lock_file_get_the_version_and_nothing_else_changes(root: Path) -> None:
    before = {name: (root / name).read_text() for name in VERSIONED}

    write(released(root, "7.8.9", ON))

    changed = [
        (name, line)
        for name, text in before.items()
        for was, line in zip(text.splitlines(), (root / name).read_text().splitlines(), strict=True)
        if was != line
    ]
    assert [name for name, _ in changed] == [
        "pyproject.toml",
        "docker/pyproject.toml",
        CHART,
        CHART,
        "uv.lock",
        "uv.lock",
    ]
    assert {line for _, line in changed} == {'version = "7.8.9"', "version: 7.8.9", 'appVersion: "7.8.9"'}
    uv = [str(Path(sys.executable).parent / "uv"), "lock", "--check", "--offline"]
    checked = subprocess.run(uv, cwd=root, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_what_was_unreleased_stands_under_the_version_and_its_date(root: Path) -> None:
    write(released(root, "7.8.9", ON))

    assert (root / CHANGELOG).read_text() == (
        "# Changelog\n\n## Unreleased\n\n## 7.8.9 - 2026-12-01\n\n### Added\n- A thing.\n\n"
        "## 0.0.9 - 2026-01-01\n\n### Added\n- All.\n"
    )


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("v7.8.9", "v7.8.9: should be a version such as 1.2.3"),
        ("7.8", "7.8: should be a version"),
        ("0.0.8", "0.0.8: is older than"),
        ("7.8.9", "CHANGELOG.md: has a part for 7.8.9 already"),
        ("7.8.10", "CHANGELOG.md: has nothing under Unreleased"),
    ],
)
def test_what_can_not_be_released_is_refused_before_anything_is_written(root: Path, version: str, why: str) -> None:
    if version.startswith("7.8."):
        write(released(root, "7.8.9", ON))
    with pytest.raises(NotReleasable, match=why):
        released(root, version, ON)


def test_a_file_without_its_version_is_named(root: Path) -> None:
    (root / "uv.lock").write_text('name = "nerava-lifecycle"\nversion = "0.1.0"\n')

    with pytest.raises(NotReleasable, match=r"uv\.lock: has 1 of our versions, and should have 2"):
        released(root, "7.8.9", ON)


@pytest.mark.parametrize("dry", [True, False])
def test_the_command_shows_each_change_and_a_dry_run_makes_none(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, dry: bool
) -> None:
    monkeypatch.setattr(upkeep.__main__, "ROOT", root)

    ran = CliRunner().invoke(upkeep.__main__.commands, ["release", "7.8.9", *(["--dry-run"] if dry else [])])

    assert ran.exit_code == 0, ran.output
    assert ran.stdout.count('+version = "7.8.9"') == 4
    assert ("7.8.9" in (root / CHANGELOG).read_text()) == (not dry)


def test_the_command_refuses_with_a_line_and_exit_code_2() -> None:
    ran = CliRunner().invoke(upkeep.__main__.commands, ["release", "next"])

    assert (ran.exit_code, ran.stderr) == (2, "next: should be a version such as 1.2.3\n")
