"""Reading what the hypervisor printed on its serial console.

Its own lines start with `keyhole: `, a guest's with `[name] `. A guest's line that another's cut in two
has a backslash at the end of its first part. What a boot loader or firmware printed
before is ignored.
"""

import re
from dataclasses import dataclass, field

from . import tap

ESCAPES = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[=>]|\x00")
# What a terminal is not shown: all but colours and erasing to the end of the line.
NOT_COLOURS = re.compile(r"\x1b\[[0-9;?=]*[A-JL-Za-ln-z]|\x1b[=>]|\x00")
HOST = re.compile(r"^keyhole: ?(.*)$")
GUEST = re.compile(r"^\[([A-Za-z0-9_.-]+)\] ?(.*)$")
GUEST_END = re.compile(r'^guest d(\d+) "([^"]*)": (.*)$')
END = re.compile(r"^end: (\d+) guests?, (\d+) ok, (\d+) failed, status (\d+)")
AUDIT = re.compile(r"^audit: cpu(\d+) (\S+), (\d+) pages? mapped of (\d+), (\d+) of any guest")
FREE = re.compile(r"^free: mfn (?:0x)?([0-9a-f]+)-(?:0x)?([0-9a-f]+)$")
CUT = "\\"
PANIC = re.compile(r"keyhole: PANIC")
END_LINE = re.compile(r"^keyhole: end: .*status \d+[^\n]*\n", re.M)


@dataclass
class Log:
    """One boot's serial output, taken apart."""

    host: list = field(default_factory=list)  # the hypervisor's lines, prefix taken off
    guests: dict = field(default_factory=dict)  # name -> its lines
    guest_ends: dict = field(default_factory=dict)  # name -> how the hypervisor says it ended
    audits: list = field(default_factory=list)  # (cpu, verdict, pages mapped, of, of any guest)
    free: list = field(default_factory=list)  # (first, last) machine frame numbers, inclusive
    end: tuple | None = None  # (guests, ok, failed, status)
    panic: str | None = None

    @property
    def status(self):
        return self.end[3] if self.end else None

    def guest_report(self, name):
        return tap.parse(self.guests.get(name, []))

    def host_report(self):
        """The TAP of the self-tests, with or without the hypervisor's prefix on each line."""
        return tap.parse(self.host)

    def problems(self):
        """Why this boot did not end well, whatever its guests were; empty if it did."""
        bad = []
        if self.panic:
            bad.append("the hypervisor panicked: " + self.panic)
        if self.end is None:
            bad.append('there is no last line "keyhole: end: ... status S": it never came to its end')
        elif self.status != 0:
            guests = "; ".join(f"{n}: {how}" for n, how in self.guest_ends.items())
            bad.append(f"it ended with status {self.status}" + (f" ({guests})" if guests else ""))
        for cpu, verdict, _, _, of_guests in self.audits:
            if verdict != "ok" or of_guests != 0:
                bad.append(f"the audit of cpu{cpu} says {verdict}, {of_guests} pages of guests mapped")
        return bad


def clean(text, keep_colours=False):
    return (NOT_COLOURS if keep_colours else ESCAPES).sub("", text).replace("\r", "")


def parse(text):
    """Takes the whole serial output (str) apart."""
    log = Log()
    lines = clean(text).split("\n")
    begun = {}  # name -> the first part of a line that another's cut in two
    for line, after in zip(lines, [*lines[1:], ""]):
        if m := HOST.match(line):
            _host_line(log, m[1])
        elif m := GUEST.match(line):
            whole = begun.pop(m[1], "") + m[2]
            if whole.endswith(CUT) and not after.startswith(f"[{m[1]}]"):
                begun[m[1]] = whole.removesuffix(CUT)
            else:
                log.guests.setdefault(m[1], []).append(whole)
    for name, part in begun.items():
        log.guests.setdefault(name, []).append(part)
    return log


def _host_line(log, line):
    log.host.append(line)
    if line.startswith("PANIC") and log.panic is None:
        log.panic = line.partition(":")[2].strip() or line
    elif m := GUEST_END.match(line):
        log.guest_ends[m[2]] = m[3]
    elif m := AUDIT.match(line):
        log.audits.append((int(m[1]), m[2], int(m[3]), int(m[4]), int(m[5])))
    elif m := FREE.match(line):
        log.free.append((int(m[1], 16), int(m[2], 16)))
    elif m := END.match(line):
        log.end = tuple(int(x) for x in m.groups())
