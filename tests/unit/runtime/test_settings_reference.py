"""The settings' reference and the sample environment: made from the classes, whole, and true."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hubspot_consumer.doctor.environment import DoctorSettings
from hubspot_consumer.settings import Settings as ConsumerSettings
from producer.settings import Settings as ProducerSettings
from runtime.settings import secret_names
from upkeep.__main__ import commands
from upkeep.settings_reference import CHART_SCHEMA, ROOT, sections, stale

pytestmark = pytest.mark.usefixtures("none_of_ours")

FIELDS = {name.upper(): field for section in sections() for name, field in section.fields.items()}


def test_the_reference_and_the_sample_environment_are_as_the_code_has_it() -> None:
    assert not stale(), "run `make settings`"


def test_the_reference_says_something_of_every_setting() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()

    for name, field in FIELDS.items():
        assert field.description, name
        assert f"| `{name}`" in text
    for kind in (ProducerSettings, DoctorSettings):
        assert {name.upper() for name in kind.model_fields} <= FIELDS.keys()
        assert all(f"`{name.upper()}_FILE`" in text for name in secret_names(kind))


def test_the_readme_names_settings_that_there_are_and_leads_to_all_and_the_consoles_page_names_its_own() -> None:
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^\| `([A-Z_]+)` \|", readme, re.MULTILINE))

    assert {name for name, field in FIELDS.items() if field.is_required()} <= named <= FIELDS.keys()
    assert "(docs/settings.md)" in readme
    of_the_console = {name for name in FIELDS if name.startswith("CONSOLE_")}
    assert all(f"`{name}`" in (ROOT / "docs" / "console.md").read_text() for name in of_the_console)


def test_the_sample_environment_is_a_dry_run_that_both_services_take(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert {line.lstrip("#").partition("=")[0] for line in lines if "=" in line} >= FIELDS.keys()

    for line in lines:
        if line and not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    producer, consumer = ProducerSettings(), ConsumerSettings()

    assert consumer.mode == "dry_run"
    assert producer.intake_tokens == ()
    # A default is what it would be without its line.
    for line in lines:
        if re.fullmatch(r"#[A-Z_]+=.+", line):
            monkeypatch.setenv(*line[1:].split("=", 1))
    assert (ProducerSettings(), ConsumerSettings()) == (producer, consumer)


def test_settings_that_changed_are_stale_until_they_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / CHART_SCHEMA).parent.mkdir(parents=True)
    (tmp_path / CHART_SCHEMA).write_text("{}")
    monkeypatch.setattr("upkeep.settings_reference.ROOT", tmp_path)

    assert CliRunner().invoke(commands, ["settings", "--dry-run"]).exit_code == 1
    assert not (tmp_path / ".env.example").exists()
    assert CliRunner().invoke(commands, ["settings"]).exit_code == 0
    assert CliRunner().invoke(commands, ["settings", "--dry-run"]).output == "nothing is stale\n"
