"""The guest tests under Bochs on three CPU models with 1, 2 and 4 processors, and under KVM where it works.

Several guests share a boot where that loses nothing (see keyhole/guesttest.py). Each TAP line of each
guest is a result, and so is how the hypervisor says the guest ended.
"""

import pytest
from conftest import BUILD, PATTERN
from keyhole import console, guestspec, guesttest, host, iso, machine

TESTS = guesttest.load_all(BUILD)
# A pattern that names the file or a model takes all guests; else those that it names.
ASKED = [t for t in TESTS if PATTERN in t.name]
WHOLE = not PATTERN or not ASKED
BOOTS = guesttest.group(TESTS if WHOLE else ASKED)
# Model, processors, hypervisor's options. Both ways of the map window: strict on one model, with
# cached slots on the oldest, which has two processors where a test works on two. On four, which cost the
# emulator four times one, a test runs if that shows more: `cpus` in its test.toml.
MACHINES = [(machine.BOCHS_CPU, 1, []), (machine.BOCHS_OLD_CPU, 2, ["window=cached"]),
            (machine.BOCHS_SMP_CPU, 4, [])]


def bochs_runs():
    for model, cpus, options in MACHINES:
        for boot in BOOTS:
            allowed = boot.tests[0].cpus
            if cpus in allowed:
                yield boot, model, cpus, options
            elif cpus == 2 and 1 in allowed and not boot.tests[0].once:
                yield boot, model, 1, options


RUNS = list(bochs_runs())
pytestmark = [] if WHOLE else [pytest.mark.chosen]


def run_boot(boot, runner, tag, log_dir, results, model=None, cpus=1, options=()):
    image = BUILD / f"boots/{tag}.iso"
    words = [guestspec.unquote(w) for w in guestspec.tokenize(boot.cmdline, " \t") if w]
    words += options
    iso.make(image, BUILD / "test/keyhole.elf", words, [g.spec for g in boot.guests])
    with machine.make(runner, image, log_dir, model=model, mem=boot.mem, cpus=cpus) as box:
        reason = box.run(boot.seconds * (1 + cpus))
        log = console.parse(box.text)
        tail = "\n".join([*box.complaints(), *console.clean(box.text).splitlines()[-30:]])
    good = results.check(log.end is not None and not log.panic, "the boot comes to its end",
                         f"ended by: {reason}\n{tail}")
    if good or log.guests:
        guesttest.judge(boot, log, results)
    results.finish()


@pytest.mark.parametrize("boot, model, cpus, options", RUNS,
                         ids=[f"{b.name}-{m}-{n}cpus" for b, m, n, _ in RUNS])
def test_guests_bochs(boot, model, cpus, options, tap_results, log_dir):
    run_boot(boot, "bochs", f"{boot.name[:80]}-{model}-{cpus}", log_dir, tap_results, model, cpus,
             options)


@pytest.mark.parametrize("boot", BOOTS, ids=[b.name for b in BOOTS])
def test_guests_kvm(boot, tap_results, log_dir):
    why = host.Host().kvm_obstacle()
    if why:
        pytest.skip(f"no KVM with nested VT-x: {why}")
    run_boot(boot, "kvm", f"{boot.name[:80]}-kvm", log_dir, tap_results)


def test_there_are_guest_tests():
    assert TESTS, "no guest-tests/*/test.toml"
