"""Both source distributions, built from a checkout in which somebody has left files: they hold only what git holds."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LEFT = (
    ".env",
    "secrets.json",
    "docker/.env",
    "schemas/.env",
    "schemas/credentials.json",
    "schemas/published/export.csv",
    "producer/draft.py",
    "producer/__pycache__/tracking.cpython-311.pyc",
    "producer/relay/token.pem",
    "hubspot_consumer/.idea/workspace.xml",
    "console/index.sqlite",
    "upkeep/notes.txt",
)
# What hatchling adds: the metadata, and the file that says which files to leave out.
ADDED = {"PKG-INFO", ".gitignore", "pyproject.toml", "README.md"}
PACKAGES = ("schemas/", "runtime/", "producer/", "hubspot_consumer/", "console/")

pytestmark = pytest.mark.timeout(180)


def git(folder: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    return {name for name in git(ROOT, "ls-files", "-z") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, tracked: set[str]) -> Path:
    """A copy of the working tree as git has it, with what somebody left in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    for name in LEFT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("HUBSPOT_PRIVATE_APP_TOKEN=pat-secret")
    return folder


def contents(project: Path, folder: Path) -> set[str]:
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(folder), str(project)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        return {member.name.partition("/")[2] for member in tar.getmembers() if member.isfile()}


def test_the_services_source_distribution_holds_their_packages_as_git_has_them(
    checkout: Path, tracked: set[str], tmp_path: Path
) -> None:
    found = contents(checkout / "docker", tmp_path)

    packages = {name for name in tracked if name.startswith(PACKAGES)}
    assert found - ADDED == {*packages, "services_wheel.py"}


def test_a_backends_source_distribution_holds_what_its_wheel_is_made_of(
    checkout: Path, tracked: set[str], tmp_path: Path
) -> None:
    found = contents(checkout, tmp_path)

    assert found - ADDED <= tracked
    assert {name.split("/")[0] for name in found - ADDED} == {"producer", "schemas", "upkeep"}
    assert len(found - ADDED) == 10
