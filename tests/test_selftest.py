"""The hypervisor's own self-tests, which need no VT-x, under QEMU TCG with BIOS and with UEFI.

Then, with the machine stopped at its end, the live page tables are read from outside: through QEMU's
monitor, and by a walk of our own over its memory, which also knows the rights of the upper levels.
"""

import re

import pytest
from conftest import BUILD
from keyhole import console, iso, machine, pagetables

CMDLINE = ["selftest=only", "poweroff=no", "loglvl=debug"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("firmware, cpus", [("bios", 1), ("bios", 4), ("uefi", 2)])
def test_selftest_tcg(firmware, cpus, tap_results, log_dir):
    image = BUILD / f"test/selftest-{firmware}-{cpus}.iso"
    iso.make(image, BUILD / "test/keyhole.elf", CMDLINE, [])
    with machine.Qemu(image, log_dir, firmware=firmware, cpus=cpus, monitor=True) as box:
        reason = box.run(60, wait_exit=False)
        log = console.parse(box.text)
        came_to_end = tap_results.check(
            reason == "until" and not log.problems(), "the boot comes to its end",
            "\n".join([f"ended by: {reason}", *log.problems(), *box.text.splitlines()[-25:]]))
        tap_results.add_report("self-test", log.host_report())
        if came_to_end:
            box.monitor("stop")
            check_all_cpus(box, log, tap_results)
    tap_results.finish()


def check_all_cpus(box, log, results):
    """The live tables of every CPU that runs the hypervisor."""
    names = pagetables.layout()
    registers = box.monitor("info registers -a")
    roots = [int(x, 16) for x in re.findall(r"CR3=([0-9a-f]+)", registers)]
    dump = box.log_dir.resolve() / "memory.bin"
    box.monitor(f'pmemsave 0 {box.mem << 20:#x} "{dump}"')
    owners = []
    try:
        with open(dump, "rb") as memory:
            def read(address, length):
                if address >= box.mem << 20:
                    return b""
                memory.seek(address)
                return memory.read(length)

            for cpu, cr3 in enumerate(roots):
                if cpu > 0 and cr3 in (0, roots[0]):
                    # Not started: it still waits where the firmware left it.
                    results.check(cr3 == 0, f"cpu{cpu}: has a root of its own")
                    continue
                try:
                    leaves = pagetables.walk(read, cr3)
                except pagetables.WalkError as e:
                    results.check(False, f"cpu{cpu}: the page tables can be followed", str(e))
                    continue
                check_tables(box, cpu, leaves, names, log, results)
                owners.append(pagetables.private_ranges(leaves, names))
    finally:
        dump.unlink(missing_ok=True)
    results.check(len(owners) == box.cpus, "every CPU was started and looked at",
                  f"{len(owners)} of {box.cpus}")
    results.check(all(len(o) == 1 for o in owners) and len(set().union(*owners)) == len(owners),
                  "each CPU maps one private range, its own", str(owners))


def check_tables(box, cpu, leaves, names, log, results):
    (box.log_dir / f"mappings-cpu{cpu}.txt").write_text("".join(
        f"{pagetables.region_of(x, pagetables.regions(names))}: {x}\n" for x in leaves))
    bad = pagetables.problems(leaves, names, log.free)
    results.check(len(leaves) > 20, f"cpu{cpu}: the page tables hold the hypervisor",
                  f"{len(leaves)} leaves")
    results.check(log.free, "the hypervisor said which frames are free")
    for kind, text in (("writable and executable", "nothing is mapped writable and executable"),
                       ("one to one", "nothing is mapped one to one"),
                       ("free range", "no free frame is mapped")):
        found = [b for b in bad if kind in b]
        results.check(not found, f"cpu{cpu}: {text}", "\n".join(found[:5]))
    rest = [b for b in bad if not re.search(r"writable and executable|one to one|free range", b)]
    results.check(not rest, f"cpu{cpu}: every mapping lies where include/layout.h says",
                  "\n".join(rest[:5]))
    check_monitor(box, cpu, leaves, results)


def check_monitor(box, cpu, leaves, results):
    """QEMU's own reading of the same tables must agree with ours."""
    theirs = set()
    for line in box.monitor("info tlb", cpu).splitlines():
        if m := re.match(r"([0-9a-f]{16}): ([0-9a-f]{16}) ([-A-Z]{9})", line):
            theirs.add((int(m[1], 16), int(m[2], 16) & pagetables.ADDRESS))
    ours = {(x.va, x.pa) for x in leaves}
    results.check(theirs == ours, f"cpu{cpu}: QEMU's `info tlb` shows the same mappings",
                  "\n".join(f"{va:#x} -> {pa:#x}" for va, pa in sorted(theirs ^ ours)[:5]))
    low = [line for line in box.monitor("info mem", cpu).splitlines()
           if re.match(r"0000[0-9a-f]{12}-", line)]
    results.check(not low, f"cpu{cpu}: `info mem` shows nothing in the lower half",
                  "\n".join(low[:5]))
