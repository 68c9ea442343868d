"""Many processors and much memory, under QEMU TCG: the built-in self-tests without VT-x.

The emulator takes turns on one host thread: spinning processors then give way at once.
"""

import time

import pytest
from conftest import BUILD
from keyhole import console, iso, machine

CMDLINE = ["selftest=only"]


def boot(log_dir, results, *, cpus, mem, seconds):
    """Boots with that many processors and MiB; returns the seconds it took."""
    image = BUILD / "test/selftest-large.iso"
    iso.make(image.with_name(f"{log_dir.name}.iso"), BUILD / "test/keyhole.elf", CMDLINE, [])
    # More RAM than the host has: nothing is taken before it is touched.
    memory = ["-object", f"memory-backend-ram,id=ram,size={mem}M,reserve=off", "-machine",
              "memory-backend=ram", "-cpu", "max,phys-bits=46"]
    start = time.monotonic()
    with machine.Qemu(image.with_name(f"{log_dir.name}.iso"), log_dir, cpus=cpus, mem=mem,
                      accel="tcg,thread=single", extra=memory) as box:
        box.run(seconds)
        log = console.parse(box.text)
    results.check(log.status == 0 and not log.problems(),
                  f"{cpus} processors, {mem} MiB: the run ends with status 0",
                  "\n".join([*log.problems(), *box.text.splitlines()[-15:]]))
    results.add_report(f"{cpus} processors, {mem} MiB", log.host_report())
    return time.monotonic() - start, box.text


@pytest.mark.timeout(240)
def test_large_cpus(tap_results, log_dir):
    _, text = boot(log_dir, tap_results, cpus=64, mem=2048, seconds=200)
    tap_results.check("64 of 64 processors run" in text, "all 64 processors run")
    audited = sum(f"audit: cpu{n} ok" in text for n in range(64))
    tap_results.check(audited == 64, "the audit passes on each", f"{audited} of 64")
    tap_results.finish()


@pytest.mark.timeout(200)
def test_large_memory(tap_results, log_dir):
    small, _ = boot(log_dir, tap_results, cpus=2, mem=1024, seconds=90)
    large, _ = boot(log_dir, tap_results, cpus=2, mem=1 << 20, seconds=90)
    tap_results.check(large < small * 4 + 5, "1 TiB boots in about the time of 1 GiB",
                      f"{small:.1f} s and {large:.1f} s")
    tap_results.finish()
