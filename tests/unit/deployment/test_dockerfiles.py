"""What can be told of the images without building them: hadolint does the rest, in `make check`."""

import re
import shlex
import tomllib
from fnmatch import fnmatch

import pytest

from image_tree import instructions
from tests.foreign.compose import OURS, ROOT, command, health_check, image, stages_of

OCI = "org.opencontainers.image"

pytestmark = pytest.mark.parametrize("service", OURS)


def test_it_runs_as_a_user_without_rights(service: str) -> None:
    user = image(service)["USER"]

    # By number, which is what Kubernetes' runAsNonRoot can see.
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


def test_it_is_process_1_itself_and_told_to_stop_by_sigterm(service: str) -> None:
    assert command(service)[:2] == ["python", "-m"]
    assert image(service)["STOPSIGNAL"] == "SIGTERM"


def test_its_health_check_needs_python_alone_and_asks_the_port_that_it_exposes(service: str) -> None:
    *shell, line = health_check(service)

    assert shell == ["sh", "-c"]
    assert line.startswith("exec python -m runtime.liveness http://127.0.0.1:")
    assert image(service)["EXPOSE"] in line
    assert line.endswith(("/v1/health/live", "/_simulator/settings"))


def test_its_last_stage_takes_only_what_was_installed_and_installs_nothing(service: str) -> None:
    last = stages_of(service)[-1]

    assert [step.arguments for step in last if step.name in ("COPY", "ADD")] == ["--from=build /app /app"]
    run = " ".join(step.arguments for step in last if step.name == "RUN")
    assert not re.search(r"\binstall\b|\bcurl\b|\bapt", run.replace("uninstall", ""))


def test_its_libraries_are_those_of_its_own_extra_as_locked(service: str) -> None:
    syncs = [step.arguments for step in stages_of(service)[0] if step.arguments.startswith("uv sync")]

    if service == "simulator":
        assert syncs == ["uv sync --frozen --only-group simulator"]
    else:
        its_own = f"uv sync --frozen --no-dev --package nerava-lifecycle-services --extra {service}"
        assert syncs == [f"{its_own} --no-install-workspace", f"{its_own} --no-editable"]


def test_no_secret_is_named_in_it(service: str) -> None:
    text = (ROOT / "docker" / f"{service}.Dockerfile").read_text()

    assert not re.search(r"TOKEN|PASSWORD|SECRET|DATABASE_URL|--mount=type=secret", text)


def test_all_are_built_from_one_pinned_base_by_the_uv_of_the_makefile(service: str) -> None:
    steps = instructions(ROOT / "docker" / f"{service}.Dockerfile")
    base = image_base(service)
    uv = re.search(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text())

    assert base == image_base("producer")
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", base)
    assert [step.arguments.split(" ")[0] for step in steps if step.name == "FROM"] == ["${PYTHON}"] * 2
    assert uv is not None
    assert f"pip install --no-cache-dir uv=={uv[1]}" in [step.arguments for step in steps]


def test_its_labels_come_last_so_that_another_commit_changes_no_layer(service: str) -> None:
    *_, version, revision, created, environment, labels = stages_of(service)[-1]
    told = dict(word.partition("=")[::2] for word in shlex.split(labels.arguments))

    assert [step.arguments for step in (version, revision, created)] == ["VERSION", "REVISION", "CREATED"]
    # The other images have the version in the metadata of the wheel.
    variables = "NERAVA_VERSION=$VERSION " * (service == "simulator") + "NERAVA_REVISION=$REVISION"
    assert (environment.name, environment.arguments) == ("ENV", variables)
    assert told.pop(f"{OCI}.title") == f"nerava-{service}"
    assert told.pop(f"{OCI}.description").endswith(".")
    assert told == {
        f"{OCI}.licenses": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"],
        f"{OCI}.version": "$VERSION",
        f"{OCI}.revision": "$REVISION",
        f"{OCI}.created": "$CREATED",
    }


def test_its_python_is_one_that_the_project_takes(service: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest, highest = (int(version) for version in re.findall(r"3\.(\d+)", project["requires-python"]))
    minor = int(image_base(service).split(".")[1])

    assert lowest <= minor < highest


def test_what_it_copies_is_let_through_by_dockerignore(service: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    copied = [source for step in stages_of(service)[0] if step.name == "COPY" for source in step.arguments.split()[:-1]]

    assert "*" in lines
    assert [name for name in copied if not any(fnmatch(name, pattern) for pattern in allowed)] == []
    assert [name for name in copied if not (ROOT / name).exists()] == []


def image_base(service: str) -> str:
    steps = instructions(ROOT / "docker" / f"{service}.Dockerfile")
    return next(step.arguments.removeprefix("PYTHON=") for step in steps if step.name == "ARG")
