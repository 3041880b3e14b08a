"""What runs before each commit is what `make check` runs, from the environment that `make setup` makes."""

from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]


def test_each_hook_is_local_and_runs_a_program_of_the_environment() -> None:
    config = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")
    checked = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")

    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "import-contracts"]
    for hook in hooks:
        assert hook["language"] == "system"
        program = " ".join(part for part in hook["entry"].split() if not part.startswith("--"))
        assert program in checked
