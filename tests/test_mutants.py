"""Mutation builds: each mistake of tests/mutants.toml makes the test it names fail."""

import pytest
from conftest import BUILD
from keyhole import mutants

MUTANTS = mutants.load()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])
def test_mutant(mutant):
    folder = mutants.build(mutant, BUILD)
    good, line = mutants.verdict(mutant, mutants.run(mutant, folder, BUILD))
    assert good, line


def test_all_mutants_are_listed():
    assert {m.name for m in MUTANTS} == set(mutants.places()) - {"NAME"}
