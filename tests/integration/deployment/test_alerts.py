"""Prometheus' promtool reads the rules and the configuration, and every alert fires and ends: `monitoring/tests`."""

import subprocess
from pathlib import Path

import pytest

from tests.foreign.monitoring import ALERTS, FOLDER, TESTS_OF_ALERTS
from tests.foreign.toolchains import WITHIN_S, cached, fetch, toolchain

SOURCES = [Path(__file__).parents[2] / "promtool" / name for name in ("go.mod", "go.sum")]
PACKAGE = "github.com/prometheus/prometheus/cmd/promtool"
# Without the clients of a dozen clouds, of which Prometheus would find its targets; with what our configuration uses.
TAGS = "remove_all_sd,enable_dns_sd"

# To build promtool takes minutes on a machine that has not built it before.
pytestmark = [pytest.mark.timeout(WITHIN_S + 60), pytest.mark.chaos]


@pytest.fixture(scope="module")
def promtool() -> Path:
    folder = cached("promtool", SOURCES)
    if not (folder / "promtool").exists():
        fetch([toolchain("go"), "build", "-tags", TAGS, "-trimpath", "-o", "promtool", PACKAGE], folder)
    return folder / "promtool"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_no_fault_in_the_rules_and_the_configuration(promtool: Path) -> None:
    assert "SUCCESS" in run(promtool, "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert "SUCCESS" in run(promtool, "check", "config", "--lint=all", "--lint-fatal", FOLDER / "prometheus.yml")


@pytest.mark.parametrize("cases", TESTS_OF_ALERTS, ids=lambda path: path.stem)
def test_every_alert_fires_and_ends(promtool: Path, cases: Path) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", cases)
