"""The audit's table and list, held against its verdict and the layout, with no guest (QEMU TCG) and with
the demo's guests (Bochs)."""

import re

import pytest
from conftest import BUILD
from keyhole import addressmap, console, demo, iso, machine

ROW = re.compile(r"^audit: +(\d+)  (r[w-][x-]) +(\S+) +(\S+)$")
SUM = re.compile(r"^audit: +(\d+)  of RAM on cpu0, and (\d+) of devices")


def boot(runner, words, specs, results, log_dir):
    image = BUILD / f"test/{log_dir.name}.iso"
    iso.make(image, BUILD / "test/keyhole.elf", words, specs)
    with machine.make(runner, image, log_dir) as box:
        reason = box.run(60)
        log = console.parse(box.text)
    results.check(log.end is not None and not log.problems(), "the boot ends well",
                  f"{reason} {log.problems()}")
    return log


@pytest.mark.timeout(120)
@pytest.mark.parametrize("runner", ["tcg", "bochs"])
def test_audit_table(runner, tap_results, log_dir):
    specs = demo.load().specs(BUILD) if runner == "bochs" else []
    words = ["map=yes"] if specs else ["selftest=only", "map=yes"]
    log = boot(runner, words, specs, tap_results, log_dir)
    tables, rows = [], []
    for line in log.host:
        if m := ROW.match(line):
            rows.append((int(m[1]), m[3], m[4]))
        elif m := SUM.match(line):
            tables.append((rows, int(m[1]), int(m[2])))
            rows = []
    tap_results.check(len(tables) == (2 if specs else 1), "a table is printed", str(len(tables)))
    for rows, ram, devices in tables:
        counted = sum(n for n, kind, _ in rows if kind != "vmap.device")
        tap_results.check(counted == ram, "its rows add up", f"{counted}, {ram}")
        tap_results.check("stray" not in [kind for _, kind, _ in rows], "it has a class for every page")
        tap_results.check(not specs or devices > 0, "devices are counted apart")
    tap_results.check(tables and log.audits and tables[-1][1] == log.audits[0][2],
                      "the last table has as many pages as the verdict",
                      f"{tables[-1:]} {log.audits}")
    found = addressmap.parse(log.host)
    tap_results.check(not found.problems(), "the list is whole, in order, without overlaps",
                      str(found.problems()))
    first = tables[0] if tables else ([], 0, 0)
    tap_results.check(sum(r.pages for r in found.ranges) == first[1] + first[2],
                      "list and table have as many pages")
    vcpus = {r.owner for r in found.ranges if r.kind == "private.vcpu"}
    tap_results.check(vcpus == ({"d1"} if specs else set()),
                      "of vCPUs the registers of the one that runs are mapped, no other's", str(vcpus))
    picture = addressmap.svg(found)
    tap_results.check(all(f">{r.kind}<" in picture or r.kind.split(".")[0] in picture
                          for r in found.ranges), "the picture names every class")
    tap_results.finish()
