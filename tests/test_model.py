"""The models of docs/models: each holds, and each of its known mistakes breaks it."""

import pytest
from conftest import BUILD, ROOT
from keyhole import model

CASES = [(path, define) for path in sorted((ROOT / "docs/models").glob("*.pml"))
         for define in (None, *model.mistakes(path))]


@pytest.mark.parametrize("path,define", CASES, ids=[f"{p.stem}-{d or 'right'}" for p, d in CASES])
def test_model(path, define):
    run = model.check(path, define, BUILD / "models")
    if define is None:
        assert run.errors == 0, run.text
    else:
        assert run.errors > 0, f"the mistake {define} is not found:\n{run.text}"


def test_there_are_mistakes():
    assert sum(define is not None for _, define in CASES) >= 3
