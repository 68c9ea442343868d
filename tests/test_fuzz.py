"""The fuzzing guest with as many calls as one likes: FUZZ_CALLS, as `make test-fuzz` sets it, and FUZZ_SEED.

The guest's own test.toml has a short run for `make test`.
"""

import os

import pytest
from conftest import BUILD
from keyhole import ROOT, guesttest, machine
from test_guests import run_boot

CALLS = os.environ.get("FUZZ_CALLS")
SECONDS = 3000


@pytest.mark.skipif(not CALLS, reason="make test-fuzz runs this")
@pytest.mark.timeout(4 * SECONDS)
def test_million(tap_results, log_dir):
    test = guesttest.load(ROOT / "guest-tests/fuzz/test.toml", BUILD)
    test.seconds = SECONDS
    boot = guesttest.group([test])[0]
    words = [f"calls={CALLS}"]
    if seed := os.environ.get("FUZZ_SEED"):
        words.append(f"seed={seed}")
    for guest in boot.guests:
        guest.spec.options = ["cmdline=" + " ".join(words) if "calls=" in o else o
                              for o in guest.spec.options]
    run_boot(boot, "bochs", "fuzz", log_dir, tap_results, machine.BOCHS_CPU, 2)
    for line in (log_dir / "serial.log").read_text(errors="replace").splitlines():
        if "seed=" in line:
            print(line)
