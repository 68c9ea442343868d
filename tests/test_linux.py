"""Debian's Linux, which nobody here wrote, as a guest under Bochs: from its boot to its power-off, with
some work for its memory and its processes in between (tools/linux/init).

One boot is part of `make test`; LINUX=all, as `make test-linux` sets it, takes the others too.
"""

import os
import re

import pytest
from conftest import BUILD
from keyhole import console, guestspec, iso, linuxguest, machine

SECONDS = 280
ENDED = "halted with interrupts off"  # Linux, which has no ACPI sleep states here
# Model, processors, and the vCPUs of each guest.
BOOTS = [(machine.BOCHS_CPU, 2, (2,))]
if os.environ.get("LINUX") == "all":
    BOOTS += [(machine.BOCHS_CPU, 1, (1,)), (machine.BOCHS_CPU, 1, (1, 2)),
              (machine.BOCHS_CPU, 2, (1, 2))]


@pytest.mark.timeout(SECONDS * 2 + 300)
@pytest.mark.parametrize("model, cpus, vcpus", BOOTS)
def test_linux(model, cpus, vcpus, tap_results, log_dir):
    try:
        paths = linuxguest.prepare(BUILD)
    except linuxguest.SetupError as e:
        pytest.skip(f"no Linux to run: {e}")
    log_dir = log_dir.with_name("linux-{}-{}-{}".format(model, cpus, "-".join(map(str, vcpus))))
    specs = guestspec.check_all(guestspec.parse_list(linuxguest.guests(paths, vcpus)))
    image = BUILD / f"boots/{log_dir.name}.iso"
    iso.make(image, BUILD / "test/keyhole.elf", [], specs)
    with machine.make("bochs", image, log_dir, model=model, mem=640, cpus=cpus) as box:
        reason = box.run(SECONDS * len(vcpus))
        log = console.parse(box.text)
        tail = "\n".join([*box.complaints(), *console.clean(box.text).splitlines()[-30:]])
    image.unlink()
    tap_results.check(not log.problems(), "the run ends well",
                      "\n".join([f"ended by: {reason}", *log.problems(), tail]))
    for spec in (s for s in specs if not s.is_data):
        tap_results.add_report(spec.name, log.guest_report(spec.name))
        complaints = [x for x in log.guests.get(spec.name, [])
                      if re.search(r"\b(BUG|Oops|Call Trace|stall|WARNING: CPU|unchecked MSR)", x)]
        tap_results.check(not complaints, f"{spec.name}: the kernel has nothing to complain of",
                          "\n".join(complaints))
        how = log.guest_ends.get(spec.name)
        tap_results.check(how == ENDED, f"{spec.name}: {ENDED}", f"got: {how}")
    tap_results.finish()
