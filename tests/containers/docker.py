"""`docker`, as the tests call it that start single containers."""

import subprocess


def docker(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=120)
