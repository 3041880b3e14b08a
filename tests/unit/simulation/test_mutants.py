"""The mutants that the simulation has to find: whether each is still a mutation of today's code."""

import pytest

from tests.simulation.mutants.mutant import ROOT, Edit, Mutant, NotApplicable, mutants
from tests.simulation.simulation import Plan

# What seeds can have.
FEATURES = frozenset[str]().union(*(Plan.of(seed).features for seed in range(300)))


@pytest.mark.parametrize("mutant", mutants().values(), ids=lambda mutant: mutant.name)
def test_a_mutant_applies_to_todays_code_and_compiles(mutant: Mutant) -> None:
    for file, text in mutant.texts().items():
        compile(text, file, "exec")
    assert bool(mutant.hidden) == bool(mutant.found_by)
    assert not mutant.found_by or (ROOT / mutant.found_by).exists()
    assert {name for each in mutant.features for name in each.split("+")} <= FEATURES


@pytest.mark.parametrize("text", ["a = 1\n", "b = 1\nb = 1\n"])
def test_an_edit_is_refused_unless_its_old_text_occurs_exactly_once(text: str) -> None:
    with pytest.raises(NotApplicable, match="and not once"):
        Edit("module.py", "b = 1\n", "b = 2\n").apply_to(text)
