"""Failing allocations: every one that an operation makes, one after the other (selftest=fail). The same for
hypercalls is in guest-tests/alloc-fail."""

import pytest
from conftest import BUILD
from keyhole import console, guestspec, iso, machine


@pytest.mark.timeout(120)
def test_failing_allocations(tap_results, log_dir):
    image = BUILD / "test/fail.iso"
    guest = guestspec.Spec(BUILD / "guests/hello.elf", ["name=hello", "mem=3M"])
    iso.make(image, BUILD / "test/keyhole.elf", ["selftest=fail"], [guest])
    with machine.make("bochs", image, log_dir, mem=64) as box:
        reason = box.run(90)
        log = console.parse(box.text)
    tap_results.check(log.end is not None and not log.problems(), "the boot ends well",
                      f"{reason} {log.problems()}\n" + "\n".join(log.host[-10:]))
    tap_results.add_report("fail", log.host_report())
    tap_results.finish()
