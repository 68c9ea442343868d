"""Debian's Linux, which nobody here wrote, as a guest under Bochs: from its boot to its power-off, with
some work for its memory and its processes in between (tools/linux/init), and a shell that is typed to.

One boot is part of `make test`; LINUX=all, as `make test-linux` sets it, takes the others too.
"""

import os
import re

import pytest
from conftest import BUILD
from keyhole import console, guestspec, iso, linuxguest, machine

SECONDS = 280
SHELL = re.compile(r"^\[linux\] A shell of busybox's", re.M)
ANSWER = re.compile(r"^\[linux\] 42y$", re.M)
ENDED = "powered off"  # by the ACPI tables' sleep control register
# Model, processors, the vCPUs of each guest, and the hypervisor's options, but "ttyS0", the guest's console.
TYPED = [(machine.BOCHS_OLD_CPU, 2, (2,), ()), (machine.BOCHS_CPU, 1, (1,), ())]
BOOTS = [(machine.BOCHS_CPU, 2, (2,), ()), TYPED[0]]
if os.environ.get("LINUX") == "all":
    BOOTS += [TYPED[1], (machine.BOCHS_CPU, 1, (1, 2), ()), (machine.BOCHS_CPU, 2, (1, 2), ()),
              (machine.BOCHS_CPU, 2, (4,), ("apicv=off", "window=cached")),
              (machine.BOCHS_CPU, 1, (1,), ("ttyS0",))]


def use_shell(box, tap_results):
    """Types to the shell that comes behind the tests, and has it end the guest."""
    reason = box.run(SECONDS, until=SHELL, wait_exit=False)
    if tap_results.check(reason == "until", "a shell", f"ended by: {reason}"):
        box.type("echo $((6*7))x\x7fy\r")  # Backspace is the line editor's
        reason = box.run(SECONDS / 4, until=ANSWER, wait_exit=False)
        tap_results.check(reason == "until", "a typed command's output", f"ended by: {reason}")
        box.type("tty\rpoweroff\r")


@pytest.mark.timeout(SECONDS * 2 + 300)
@pytest.mark.parametrize("model, cpus, vcpus, words", BOOTS)
def test_linux(model, cpus, vcpus, words, tap_results, log_dir):
    try:
        paths = linuxguest.prepare(BUILD)
    except linuxguest.SetupError as e:
        pytest.skip(f"no Linux to run: {e}")
    log_dir = log_dir.with_name("-".join(map(str, ("linux", model, cpus, *vcpus, *words))))
    typed = (model, cpus, vcpus, words) in TYPED
    do = "shell" if typed else "tests"
    tty = "ttyS0,115200" if "ttyS0" in words else "hvc0"
    specs = guestspec.check_all(guestspec.parse_list(linuxguest.guests(paths, vcpus, do, tty)))
    image = BUILD / f"boots/{log_dir.name}.iso"
    iso.make(image, BUILD / "test/keyhole.elf", [w for w in words if w != "ttyS0"], specs)
    with machine.make("bochs", image, log_dir, model=model, mem=640, cpus=cpus, typing=typed) as box:
        if typed:
            use_shell(box, tap_results)
        reason = box.run(SECONDS * len(vcpus))
        log = console.parse(box.text)
        tail = "\n".join([*box.complaints(), *console.clean(box.text).splitlines()[-30:]])
    image.unlink()
    tap_results.check(not log.problems(), "the run ends well",
                      "\n".join([f"ended by: {reason}", *log.problems(), tail]))
    for spec in (s for s in specs if not s.is_data):
        if not typed:
            tap_results.add_report(spec.name, log.guest_report(spec.name))
        complaints = [x for x in log.guests.get(spec.name, [])
                      if re.search(r"\b(BUG|Oops|Call Trace|stall|WARNING: CPU|unchecked MSR)", x)]
        tap_results.check(not complaints, f"{spec.name}: the kernel has nothing to complain of",
                          "\n".join(complaints))
        how = log.guest_ends.get(spec.name)
        tap_results.check(how == ENDED, f"{spec.name}: {ENDED}", f"got: {how}")
    tap_results.finish()
