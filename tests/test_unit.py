"""The unit tests of tests/unit/, one item a program: pure logic on the host, with sanitizers."""

import pytest
from conftest import BUILD, LOGS, ROOT
from keyhole import unit

NAMES = sorted(p.stem for p in (ROOT / "tests/unit").glob("test_*.c"))


@pytest.mark.timeout(150)
@pytest.mark.parametrize("name", NAMES)
def test_unit(name, tap_results):
    report = unit.run(BUILD / "unit" / name, LOGS, 120)
    tap_results.add_report(name, report)
    tap_results.finish()


def test_there_are_unit_tests():
    assert NAMES, "no tests/unit/test_*.c"
