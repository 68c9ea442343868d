"""The leak lab: a hostile guest with a read gadget, against the window and against a direct map.

Two builds with the gadget: the normal design, in which the guest must find nothing, and the comparator
with a direct map of all memory, in which it must find the secret. In the normal build there is neither.
"""

import re
import subprocess
from dataclasses import dataclass, field

from . import console, guestspec, iso, machine

# What exists in lab builds alone, and in the comparator alone.
GADGET_SYMBOLS = {"leak_lab_hypercall", "lab_read", "gadget"}
DIRECT_MAP_SYMBOLS = {"direct_map_init", "direct_map_pdpt"}
MEM = 64  # MiB of the machine: the direct map is read whole
CPUS = 2  # each sweeps what it maps, also those that run a guest
SECONDS = 120


@dataclass
class Outcome:
    log: console.Log
    report: object  # the probe's TAP
    said: list  # its "# lab:" lines, without that
    problems: list = field(default_factory=list)

    def number(self, pattern):
        """The first number (group 1) that a line of the probe's has, or None."""
        for line in self.said:
            if m := re.search(pattern, line):
                return int(m[1], 0)
        return None


def symbols(elf):
    done = subprocess.run(["nm", elf], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in done.stdout.splitlines()}


def run(kernel, guests, expect, image, log_dir, runner="bochs"):
    """Boots victim and probe on a kernel; expect: nothing, found or absent."""
    victim = guestspec.Spec(guests / "sweep-victim.elf", ["name=victim", "mem=4M"])
    probe = guestspec.Spec(guests / "leak-probe.elf",
                           ["name=probe", "mem=4M", f"cmdline=expect={expect}"])
    iso.make(image, kernel, [], [victim, probe])
    with machine.make(runner, image, log_dir, mem=MEM,
                      cpus=CPUS if expect == "nothing" else 1) as box:
        reason = box.run(SECONDS)
        log = console.parse(box.text)
        tail = console.clean(box.text).splitlines()[-20:]
    said = [x.partition("# lab: ")[2] for x in log.guests.get("probe", []) if "# lab: " in x]
    outcome = Outcome(log, log.guest_report("probe"), said)
    if log.end is None or log.panic:
        outcome.problems += [f"the boot does not come to its end: {reason}", *tail]
    outcome.problems += [f"victim: {p}" for p in log.guest_report("victim").problems()]
    outcome.problems += [f"probe: {p}" for p in outcome.report.problems()]
    return outcome


def window_line(outcome):
    swept, where = outcome.number(r"swept (\d+) bytes on cpu\d"), outcome.number(r"first at (0x[0-9a-f]+)")
    if where is not None:
        return f"window: canary found at {where:#x}"
    if swept is None or outcome.problems:
        return "window: no verdict"
    return f"window: canary not found ({swept} bytes swept)"


def direct_map_line(outcome):
    where = outcome.number(r"memory of d\d+ at (0x[0-9a-f]+)")
    if where is None:
        return "direct map: canary NOT found: the lab proves nothing"
    return f"direct map: canary found at {where:#x}"
