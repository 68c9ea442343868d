"""The VM-entry failure explainer against a processor: each broken rule is entered under Bochs.

The hypervisor's own TAP says whether the processor refused each case as foretold. Here the reason that
Bochs wrote into its log for each refusal, in the same order, is compared with the one expected.
"""

import re

import pytest
from conftest import BUILD
from keyhole import console, iso, machine

CASE = re.compile(r'^explain: case (\d+) (\S+) refused (\d+) "(.*)"$')
BOCHS = re.compile(r"(?:VMFAIL|VMENTER(?: FAIL)?): *(.*)$")


def compare(cases, reasons):
    """What does not agree between [(number, rule, kind, text)] and Bochs's lines, in order."""
    bad = []
    if len(cases) != len(reasons):
        bad.append(f"{len(cases)} cases were refused, Bochs logged {len(reasons)} refusals")
    for (number, rule, _, text), reason in zip(cases, reasons):
        if text and text.lower() not in reason.lower():
            bad.append(f'case {number} {rule}: expected "{text}", Bochs says "{reason}"')
    return bad


@pytest.mark.timeout(150)
@pytest.mark.parametrize("model", [machine.BOCHS_CPU, machine.BOCHS_OLD_CPU])
def test_explain_bochs(model, tap_results, log_dir):
    image = BUILD / "test/explain.iso"
    iso.make(image, BUILD / "test/keyhole.elf", ["selftest=explain"], [])
    with machine.Bochs(image, log_dir, model=model) as box:
        reason = box.run(90)
        log = console.parse(box.text)
    tap_results.check(log.end is not None and not log.panic, "the boot comes to its end",
                      "\n".join([f"ended by: {reason}", *box.text.splitlines()[-25:]]))
    tap_results.add_report("explain", log.host_report())
    cases = [m.groups() for line in log.host if (m := CASE.match(line))]
    logged = [m[1] for line in box.emulator_path.read_text(errors="replace").splitlines()
              if (m := BOCHS.search(line))]
    bad = compare(cases, logged)
    tap_results.check(len(cases) > 50, "many rules were broken", f"{len(cases)} cases")
    tap_results.check(not bad, "Bochs's log names the same reason for each", "\n".join(bad[:10]))
    tap_results.finish()


def test_compare_finds_differences():
    cases = [("1", "A", "8", "invalid CR0"), ("2", "B", "8", "")]
    assert compare(cases, ["VMCS host state invalid CR0 0x1", "x"]) == []
    assert compare(cases, ["VMCS host state invalid CR4", "x"])
    assert compare(cases, ["invalid CR0"])
