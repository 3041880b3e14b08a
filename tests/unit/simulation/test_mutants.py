"""The mutants that the simulation has to find: whether each is still a mutation of today's code."""

import pytest

from tests.simulation.faults import KINDS
from tests.simulation.mutants.mutant import Edit, Mutant, NotApplicable, mutants


@pytest.mark.parametrize("mutant", mutants().values(), ids=lambda mutant: mutant.name)
def test_a_mutant_applies_to_todays_code_and_compiles(mutant: Mutant) -> None:
    for file, text in mutant.texts().items():
        compile(text, file, "exec")
    assert set(mutant.faults) <= set(KINDS)


@pytest.mark.parametrize("text", ["a = 1\n", "b = 1\nb = 1\n"])
def test_an_edit_is_refused_unless_its_old_text_occurs_exactly_once(text: str) -> None:
    with pytest.raises(NotApplicable, match="and not once"):
        Edit("module.py", "b = 1\n", "b = 2\n").apply_to(text)
