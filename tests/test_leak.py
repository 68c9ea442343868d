"""The leak lab: nothing is found through the map window, all of it through a direct map; and neither the
gadget nor the direct map exists in a normal build, by symbol and by behaviour."""

import pytest
from conftest import BUILD
from keyhole import leaklab


def boot(folder, expect, log_dir):
    return leaklab.run(BUILD / folder / "keyhole.elf", BUILD / "guests", expect,
                       BUILD / f"boots/leak-{expect}.iso", log_dir)


@pytest.mark.timeout(150)
def test_leak_window(tap_results, log_dir):
    outcome = boot("lab", "nothing", log_dir)
    tap_results.add_report("probe", outcome.report)
    line = leaklab.window_line(outcome)
    tap_results.check("canary not found (" in line, line, "\n".join(outcome.problems))
    swept = outcome.number(r"swept (\d+) bytes from cpu\d, another one")
    tap_results.check(bool(swept), f"{swept} bytes were swept from another CPU too")
    tap_results.check(not outcome.log.problems(), "the run ends well, its audit too",
                      "\n".join(outcome.log.problems()))
    tap_results.finish()


@pytest.mark.timeout(150)
def test_leak_direct_map(tap_results, log_dir):
    outcome = boot("lab-direct", "found", log_dir)
    tap_results.add_report("probe", outcome.report)
    line = leaklab.direct_map_line(outcome)
    tap_results.check("canary found at" in line, line, "\n".join(outcome.problems))
    tap_results.finish()


@pytest.mark.timeout(150)
def test_leak_absent(tap_results, log_dir):
    normal = leaklab.symbols(BUILD / "keyhole.elf")
    gadget, direct = leaklab.GADGET_SYMBOLS, leaklab.DIRECT_MAP_SYMBOLS
    tap_results.check(not normal & (gadget | direct), "no gadget and no direct map by symbol",
                      str(sorted(normal & (gadget | direct))))
    # The same names must be there where they should, or the test above says nothing.
    lab = leaklab.symbols(BUILD / "lab/keyhole.elf")
    tap_results.check("leak_lab_hypercall" in lab and not lab & direct,
                      "the lab build has the gadget, and no direct map")
    tap_results.check("direct_map_init" in leaklab.symbols(BUILD / "lab-direct/keyhole.elf"),
                      "the comparator has the direct map")
    outcome = boot(".", "absent", log_dir)
    tap_results.add_report("probe", outcome.report)
    tap_results.check(not outcome.problems and not outcome.log.problems(), "the run ends well",
                      "\n".join(outcome.problems + outcome.log.problems()))
    tap_results.finish()
