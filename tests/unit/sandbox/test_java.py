"""Jars are fetched by one process at a time, whoever starts first on a new machine."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jgo.env import Environment, EnvironmentBuilder

from sandbox import java


def test_two_that_need_jars_at_once_fetch_them_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fetching, both = threading.Lock(), threading.Barrier(2)

    def fetch(*_: Any) -> SimpleNamespace:
        assert fetching.acquire(blocking=False), "two fetch at once"
        threading.Event().wait(0.1)
        fetching.release()
        return SimpleNamespace(all_jars=["one.jar", "two.jar"])

    def found(_: int) -> str:
        both.wait()
        return java.jars("org.example:example", "1 MB", lambda _: None)

    monkeypatch.setattr(java, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(EnvironmentBuilder, "from_endpoint", fetch)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(found, range(2))) == ["one.jar:two.jar"] * 2


def test_jars_that_are_there_are_not_replaced_since_a_jvm_may_run_on_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[Path] = []

    def build(_: EnvironmentBuilder, environment: Environment, *_more: Any) -> tuple[list[Any], None]:
        environment.modules_dir.mkdir(parents=True)
        (environment.modules_dir / "module.jar").touch()
        built.append(environment.path)
        return [], None

    monkeypatch.setattr(java, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(EnvironmentBuilder, "_build_environment", build)

    steps: list[str] = []
    first, second = (java.jars("org.example:example:1.0", "1 MB", steps.append) for _ in range(2))

    assert first == second == str(built[0] / "modules" / "module.jar")
    assert len(built) == 1
    assert ["earlier run" in step for step in steps] == [False, True]
