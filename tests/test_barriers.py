"""Barriers between guests, and one thread of each core.

No emulator at hand names the registers, so a test build counts what it would write there.
"""

import re

import pytest
from conftest import BUILD
from keyhole import console, demo, iso, machine

COUNTS = re.compile(r"barriers: (\d+) IBPB, (\d+) L1D flushes")


def run(box, seconds):
    box.run(seconds)
    return console.parse(box.text)


@pytest.mark.timeout(100)
@pytest.mark.parametrize("trace", ["off", "on"])
def test_barriers_counted(trace, log_dir):
    image = BUILD / f"test/barriers-{trace}.iso"
    iso.make(image, BUILD / "test/keyhole.elf", ["mitigations=counted", f"trace={trace}"],
             demo.load().specs(BUILD))
    with machine.Bochs(image, log_dir, cpus=1) as box:
        log = run(box, 80)
        assert not log.problems(), box.text[-3000:]
        assert "barriers between guests: VERW IBPB L1D flush" in box.text
        ibpb, flushes = map(int, COUNTS.search(box.text).groups())
    # Each guest comes to the processor at least once, and the demo sends events and maps grants.
    assert ibpb >= 4, "the domain changed, and no barrier"
    assert flushes > ibpb, "another guest's memory was open, and no flush"


@pytest.mark.timeout(100)
@pytest.mark.parametrize("smt, text, says", [
    ("off", "2 of 4 processors run", "smt=off: 2 second threads of cores are left out"),
    ("on", "4 of 4 processors run", "guests on two threads of one core can observe each other")])
def test_threads(smt, text, says, log_dir):
    image = BUILD / f"test/smt-{smt}.iso"
    iso.make(image, BUILD / "test/keyhole.elf", ["selftest=only", f"smt={smt}"], [])
    with machine.Qemu(image, log_dir, cpus="4,cores=2,threads=2") as box:
        log = run(box, 80)
        assert not log.problems(), box.text[-3000:]
        assert text in box.text and says in box.text, box.text[:3000]
