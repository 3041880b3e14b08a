"""Mutants: the code with one rule taken out, each of which the simulation has to find."""
