"""The rows of `make bench` that grow with the number of processors: guest-tests/bench-smp under Bochs.

Bochs runs its processors in turn, a few instructions of each, and its time-stamp counter counts what
they executed on average; one in HLT counts as busy. So a figure is the time in which each processor
involved executes about so many instructions: what lies on the way from one to the other, not the sum of both. What hardware adds is not in it: cache lines that move, the bus, the
latency of an interrupt. Repeated runs of one image are equal.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from . import console, guestspec, iso, machine

CPUS = (1, 2, 4, 8)
SECONDS = 240
LINE = re.compile(r"^scale: (\S+) cpus=(\d+) samples=(\d+) median=(\d+) mean=(\d+) max=(\d+)$")
# What the baseline has: processors, apicv=, no faults, which wait for each other. Two processors interleave
# another way when code has moved.
COMPARED = ((2,), (True, False), False)
TOLERANCE = 1.1
# name: what
ROWS = {
    "ipi": "IPI to another vCPU, which is busy (alone: to itself)",
    "ipi_all": "IPI to all others, to the last one's handler",
    "timer": "timer interrupt, from its deadline to the handler, on all at once",
    "shootdown_call": "a page given back: the call",
    "shootdown_other": "the same: what another vCPU in guest mode loses, at most",
    "demand_fault": "fault in a demand window, resident set full, evictions included, on all at once",
    "yield_switch": "from one guest to another by a yield, on all at once",
}


@dataclass
class Point:
    median: int
    mean: int
    max: int


def parse(text):
    """name -> Point of the one boot whose output it is."""
    found = {}
    for line in console.clean(text).split("\n"):
        if m := LINE.match(re.sub(r"^\[[^]]*\] ", "", line)):
            found[m[1]] = Point(int(m[4]), int(m[5]), int(m[6]))
    return found


def rows_guests(build, cpus):
    return [guestspec.Spec(build / "guests/bench-smp.elf", ["name=scale", "mem=8M", f"vcpus={cpus}"])]


def switch_guests(build, cpus):
    """Two on each processor."""
    def one(n):
        words = f"switch={cpus}" + (" report" if n == 0 else "")
        file = build / "guests/bench-smp.elf" if n == 0 else None
        options = [f"name=s{n}", "mem=4M", f"pin={n % cpus}", f"cmdline={words}"]
        return guestspec.Spec(file, options + ([] if n == 0 else ["image=s0"]))
    return [one(n) for n in range(2 * cpus)]


def fault_guests(build, cpus):
    """One that faults on all processors, and whose memory it looks into."""
    return [guestspec.Spec(build / "guests/bench-peer.elf", ["name=peer", "mem=16M"]),
            guestspec.Spec(build / "guests/bench-smp.elf",
                           ["name=faults", "mem=8M", f"vcpus={cpus}", "priv=*", "cmdline=faults"])]


def boot(build, kernel, name, guests, cpus, words=()):
    build = Path(build)
    image = build / f"bench-{name}.iso"
    iso.make(image, kernel, ["console=com1", "loglvl=warn", *words], guests)
    with machine.Bochs(image, build / "bench-logs" / name, mem=256, model=machine.BOCHS_CPU,
                       cpus=cpus) as box:
        reason = box.run(SECONDS)
    log = console.parse(box.text)
    problems = log.problems()
    for guest in guests:
        problems += [f"guest {guest.name}: {p}" for p in log.guest_report(guest.name).problems()]
    if problems:
        raise machine.MachineError(f"{name} ended by {reason}: " + "; ".join(problems))
    return parse(box.text)


def measure(build, kernel, counts=CPUS, apicv=(True, False), faults=True):
    """{"ipi": {"1": Point, "2": ...}, "ipi apicv=off": ...}"""
    out = {}
    for cpus in counts:
        for on in apicv:
            words = () if on else ("apicv=off",)
            name = f"scale-{cpus}" + ("" if on else "-off")
            for row, point in boot(build, kernel, name, rows_guests(build, cpus), cpus, words).items():
                out.setdefault(row + ("" if on else " apicv=off"), {})[str(cpus)] = point
        for name, guests in (("switch", switch_guests), ("faults", fault_guests))[:1 + faults]:
            for row, point in boot(build, kernel, f"{name}-{cpus}", guests(build, cpus), cpus).items():
                out.setdefault(row, {})[str(cpus)] = point
    return out


def table(found):
    counts = sorted({int(c) for points in found.values() for c in points})
    width = max(len(name) for name in found)
    lines = ["growth".ljust(width) + "".join(f"{c:>8}" for c in counts) + "  processors"]
    for name in sorted(found):
        cells = [str(found[name][str(c)].median) if str(c) in found[name] else "-" for c in counts]
        lines.append(name.ljust(width) + "".join(f"{cell:>8}" for cell in cells))
    return "\n".join(lines)


def as_json(found):
    return [{"name": name, "what": ROWS[name.split()[0]], "unit": "ticks",
             "cpus": {c: vars(p) for c, p in points.items()}} for name, points in sorted(found.items())]


def medians(found):
    """name -> {processors: ticks}"""
    return {name: {c: p.median for c, p in points.items()} for name, points in found.items()}


def compare(found, baseline):
    """As bench.compare(), for each row and number of processors."""
    now = {f"{name}, {c} processors": t for name, points in medians(found).items() for c, t in points.items()}
    then = {f"{name}, {c} processors": t for name, points in baseline.items() for c, t in points.items()}
    return [(name, now.get(name), then.get(name),
             name in now and name in then and now[name] <= then[name] * TOLERANCE)
            for name in sorted(set(now) | set(then))]
