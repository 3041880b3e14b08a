"""`python scripts/image_tree.py SERVICE FOLDER`: what a service's image gets from us, built without Docker.

It runs the first stage of docker/SERVICE.Dockerfile, instruction by instruction, below FOLDER instead of below /, with
a Python of this machine for the one of the base image. FOLDER/app is then what the second stage copies. Needs the
package index, and Python 3.11 or later.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SERVICES: Final = ("producer", "consumer", "console", "simulator")


@dataclass(frozen=True)
class Instruction:
    """One of a Dockerfile, its continued lines in one."""

    name: str
    arguments: str


def instructions(dockerfile: Path) -> list[Instruction]:
    lines = [line for line in dockerfile.read_text().splitlines() if line and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [Instruction(name, arguments) for name, _, arguments in (line.partition(" ") for line in whole)]


def stages(dockerfile: Path) -> list[list[Instruction]]:
    """Return the instructions of each stage, without its FROM and without what stands before the first."""
    found: list[list[Instruction]] = []
    for instruction in instructions(dockerfile):
        if instruction.name == "FROM":
            found.append([])
        elif found:
            found[-1].append(instruction)
    return found


def build(service: str, folder: Path) -> Path:
    """Build the tree below *folder*, and return what the image has as /app. Raises CalledProcessError."""
    base = folder / "base"
    subprocess.run([sys.executable, "-m", "venv", str(base)], check=True)
    outside = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_", "UV_"))}
    environment = {**outside, "PATH": f"{base / 'bin'}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)}
    directory = folder
    for step in stages(ROOT / "docker" / f"{service}.Dockerfile")[0]:
        if step.name == "ENV":
            pairs = (word.partition("=") for word in shlex.split(step.arguments))
            environment |= {name: _below(folder, value) for name, _, value in pairs}
        elif step.name == "WORKDIR":
            directory = Path(_below(folder, step.arguments))
            directory.mkdir(parents=True, exist_ok=True)
        elif step.name == "COPY":
            *sources, target = step.arguments.split()
            _copy(sources, directory / target)
        elif step.name == "RUN":
            subprocess.run(["/bin/sh", "-c", step.arguments], cwd=directory, env=environment, check=True)
        else:
            raise NotImplementedError(f"{step.name} in the first stage of {service}: teach it to scripts/image_tree.py")
    return Path(environment["UV_PROJECT_ENVIRONMENT"])


def size(tree: Path) -> tuple[int, int]:
    """Return its bytes, and how many files they are in."""
    sizes = [path.lstat().st_size for path in tree.rglob("*") if not path.is_dir()]
    return sum(sizes), len(sizes)


def distributions(tree: Path) -> list[str]:
    """Return the names of what is installed in it, as their own metadata has them, in lower case with hyphens."""
    names = (path.name.split("-")[0] for path in tree.glob("lib/python*/site-packages/*.dist-info"))
    return sorted(name.lower().replace("_", "-").replace(".", "-") for name in names)


def _below(folder: Path, value: str) -> str:
    return f"{folder}{value}" if value.startswith("/") else value


def _copy(sources: list[str], target: Path) -> None:
    for source in (ROOT / name for name in sources):
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in SERVICES:
        print(f"{__doc__}\nSERVICE is one of {', '.join(SERVICES)}.", file=sys.stderr)
        raise SystemExit(2)
    folder = Path(sys.argv[2]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tree = build(sys.argv[1], folder)
    total, files = size(tree)
    names = distributions(tree)
    print(f"{tree}: {total / 1e6:.1f} MB in {files} files, {len(names)} distributions:\n{' '.join(names)}")


if __name__ == "__main__":
    main()
