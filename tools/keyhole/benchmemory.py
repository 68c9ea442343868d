"""The rows of `make bench` that are memory: what bookkeeping takes, and what is mapped at rest.

Both are taken from the hypervisor's own list (map=yes, mm/audit_table.c): with 256 MiB under Bochs while
the demo's guests live, with more under QEMU without VT-x, so without guests, where the machine may have
more RAM than the host.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from . import addressmap, console, demo, iso, machine

KIB = 1024
PAGE_KIB = 4
FRAME_BYTES = 16  # of the frame table, for each frame
XEN_FRAME_BYTES = 32  # Xen's struct page_info
FIXED_KIB = 2 * KIB
CPU_KIB = 128
SECONDS = 120
SIZES = [("256m", 256), ("64g", 64 << 10), ("512g", 512 << 10)]  # MiB
DIRECT_LIMIT_MIB = 8 << 10  # of the comparator with a direct map
EPT = re.compile(r"^audit: +(\d+) +- EPT +d\d+$")
AUDIT = re.compile(r"^audit: cpu\d+ (?:ok|FAILED), \d+ pages mapped of \d+, (\d+) of any guest$")
# Mappings that may reach any frame, or that no rule allows.
REACHES_GUESTS = ("private.window", "direct-map", "stray")


@dataclass
class Sample:
    """One machine, in KiB."""

    ram: int
    bookkeeping: int
    mapped: int
    image: int
    ept: int
    cpus: int
    guest_pages: int  # mapped pages that are, or may be, a guest's

    @property
    def bookkeeping_goal(self):
        return self.ram * FRAME_BYTES // (PAGE_KIB * KIB) + self.ept + FIXED_KIB + CPU_KIB * self.cpus


def sample(lines, cpus, direct_map=False):
    """A Sample from the hypervisor's lines (console.Log.host); raises ValueError.

    A direct map maps more addresses than there is RAM.
    """
    found = addressmap.parse(lines)
    problems = found.problems()
    if problems and not (direct_map and found.told == len(found.ranges) and found.mapped > found.ram):
        raise ValueError("; ".join(problems))
    image = sum(r.pages for r in found.ranges if r.kind.startswith("image."))
    guests = sum(r.pages for r in found.ranges if r.kind in REACHES_GUESTS)
    # The table is printed before the list, and once more at the end.
    start = next(i for i, line in enumerate(lines) if line.startswith("map: ram "))
    ept = sum(int(m[1]) for m in map(EPT.match, lines[:start]) if m)
    guests += sum(int(m[1]) for m in map(AUDIT.match, lines) if m)
    return Sample(ram=found.ram * PAGE_KIB, image=image * PAGE_KIB,
                  mapped=min(found.mapped, found.ram) * PAGE_KIB,
                  bookkeeping=(found.ram - found.free - found.guests - image) * PAGE_KIB,
                  ept=ept * PAGE_KIB, cpus=cpus, guest_pages=guests)


def boot(box, cpus, direct_map=False):
    with box:
        reason = box.run(SECONDS)
    log = console.parse(box.text)
    if not direct_map and (problems := log.problems()):
        raise ValueError(f"ended by {reason}: " + "; ".join(problems))
    return sample(log.host, cpus, direct_map)


def with_guests(build, kernel, name, direct_map=False):
    image = build / f"bench-{name}.iso"
    iso.make(image, kernel, ["map=yes"], demo.load().specs(build))
    return boot(machine.Bochs(image, build / "bench-logs" / name, mem=SIZES[0][1],
                              model=machine.BOCHS_CPU), 1, direct_map)


def without_guests(build, kernel, name, mem, cpus=2):
    image = build / "bench-memory.iso"
    iso.make(image, kernel, ["selftest=only", "map=yes"], [])
    ram = ["-object", f"memory-backend-ram,id=ram,size={mem}M,reserve=off", "-machine",
           "memory-backend=ram", "-cpu", "max,phys-bits=46"]
    return boot(machine.Qemu(image, build / "bench-logs" / name, cpus=cpus, mem=mem,
                             accel="tcg,thread=single", extra=ram), cpus)


def attempt(function, *args, **rest):
    """What it returns, and None; or None and why not."""
    try:
        return function(*args, **rest), None
    except (ValueError, iso.IsoError, machine.MachineError, demo.DemoError) as e:
        return None, str(e)


def row_pair(name, mib, found, reason, direct):
    """The two rows of one size; direct: the comparator's Sample, or why there is none."""
    of = f"{mib} MiB" if mib < KIB else f"{mib // KIB} GiB"
    common = {"unit": "KiB", "insns": None, "max": None, "serialising": None, "locked": None}
    there = isinstance(direct, Sample)
    why = None if there else "direct_map: " + direct
    reasons = "; ".join(x for x in (reason, why) if x) or None
    peer = mib * KIB // PAGE_KIB * XEN_FRAME_BYTES // KIB
    return [
        {"name": f"bookkeeping_{name}", "what": f"bookkeeping of {of}", **common,
         "value": found and found.bookkeeping, "goal": found and found.bookkeeping_goal,
         "direct_map": direct.bookkeeping if there else None, "peer": peer,
         "peer_name": "Xen, computed", "reason": reasons},
        {"name": f"mapped_{name}", "what": f"mapped at rest, {of}", **common,
         "value": found and found.mapped, "goal": found and found.bookkeeping_goal + found.image,
         "guest_pages": found and found.guest_pages,
         "direct_map": direct.mapped if there else None, "peer": mib * KIB,
         "peer_name": "Xen, all RAM", "reason": reasons}]


def measure(build, kernel, direct_kernel):
    """All rows; direct_kernel may not be there."""
    build = Path(build)
    out = []
    for name, mib in SIZES:
        if name == SIZES[0][0]:
            found, reason = attempt(with_guests, build, kernel, "memory-" + name)
        else:
            found, reason = attempt(without_guests, build, kernel, "memory-" + name, mib)
        direct, why = None, f"the comparator takes {DIRECT_LIMIT_MIB >> 10} GiB at most"
        if mib <= DIRECT_LIMIT_MIB:
            direct, why = attempt(with_guests, build, direct_kernel, "memory-direct", direct_map=True)
        out += row_pair(name, mib, found, reason, direct or why)
    return out
