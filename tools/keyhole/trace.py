"""The hypervisor's trace: from the text on COM2 (kernel/trace_dump.c) to a picture and to numbers.

The picture is JSON of the Trace Event Format, which Perfetto (ui.perfetto.dev) and chrome://tracing open:
a track for each processor with its exits and its sleep, and one for each vCPU that says where it ran.
"""

import re
from dataclasses import dataclass, field

from . import ROOT

LINE = re.compile(r"^trace: (.*)#([0-9a-f]{8})$")
HYPERCALL = 72  # TRACE_CODE_HYPERCALL
EXIT, LOAD, SLEEP, KICK, WAKE, INJECT, FLUSH, MAP, UNMAP, BATCH, WORK = range(11)  # enum trace_kind
LONG = {EXIT: "exit", SLEEP: "sleep", WORK: "work"}  # their value is a length in ticks
INJECTED = {0: "interrupt", 2: "NMI", 3: "exception"}
FLUSHED = ("EPT", "VPID", "host")
PROCESSORS = 1000  # the process of the picture under which they are; guests have their numbers


class TraceError(RuntimeError):
    """The text is no whole trace; the message says why."""


@dataclass
class Event:
    tsc: int
    kind: int
    code: int
    vcpu: int
    domain: int
    value: int


@dataclass
class Trace:
    khz: int = 0  # ticks a millisecond
    cpus: int = 0
    names: dict = field(default_factory=dict)  # domain -> name
    exits: dict = field(default_factory=dict)  # (domain, code) -> (count, ticks)
    events: dict = field(default_factory=dict)  # cpu -> [Event], by time
    lost: dict = field(default_factory=dict)  # cpu -> how many were overwritten

    def name(self, domain):
        return f"d{domain} {self.names.get(domain, '')}".strip()


def checksum(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def parse(text):
    """The Trace in what came from COM2. Raises TraceError: a line is damaged, or some are missing."""
    found, lines, whole = Trace(), 0, False
    for raw in text.replace("\r", "").split("\n"):
        if not raw.startswith("trace: "):
            continue
        m = LINE.match(raw)
        if not m or checksum(raw[:-9]) != int(m[2], 16):
            raise TraceError(f"a line is damaged: {raw[:60]}")
        word, *rest = m[1].split()
        if word == "end":
            whole = int(rest[0]) == lines
            break
        lines += 1
        _line(found, word, rest)
    if not whole:
        raise TraceError(f"it is not whole: {lines} lines and no fitting end")
    return found


def _line(found, word, rest):
    if word == "begin":
        found.khz, found.cpus = map(int, rest)
    elif word == "domain":
        found.names[int(rest[0])] = rest[1]
    elif word == "exits":
        domain, code, count, ticks = map(int, rest)
        found.exits[domain, code] = (count, ticks)
    elif word == "cpu":
        found.lost[int(rest[0])] = int(rest[1])
        found.events[int(rest[0])] = []
    elif word == "e":
        tsc = 0
        for text in rest[1:]:
            delta, what, value = (int(x, 16) for x in text.split(","))
            tsc += delta
            found.events[int(rest[0])].append(
                Event(tsc, what & 255, what >> 8 & 255, what >> 16 & 255, what >> 24, value))
    else:
        raise TraceError(f"what is {word!r}?")


def _exit_names():
    text = (ROOT / "include/vmx/exit_reasons.h").read_text(encoding="utf-8")
    return {int(n): name for n, name in re.findall(r"^\s*R\(\w+,\s*(\d+), \"([^\"]*)\"\)", text, re.M)}


def _hypercall_names():
    names = {}
    for header in ("xen.h", "keyhole.h"):
        text = (ROOT / "include/public" / header).read_text(encoding="utf-8")
        names |= {int(n): name for name, n in re.findall(r"^#define __HYPERVISOR_(\w+)\s+(\d+)\b", text, re.M)}
    return names


class Names:
    """What the numbers of exits stand for; read from the headers."""

    def __init__(self):
        self.exits, self.hypercalls = _exit_names(), _hypercall_names()

    def code(self, code):
        if code >= HYPERCALL:
            number = code - HYPERCALL
            return f"VMCALL {self.hypercalls.get(number, number)}"
        return self.exits.get(code, f"exit {code}")


# --- the picture -------------------------------------------------------------------------------------


def _instant(e):
    """Name and arguments of an event without a length."""
    if e.kind == KICK:
        return "kick", {"cpu": e.value}
    if e.kind == WAKE:
        return "wake", {"cpu": e.value}
    if e.kind == INJECT:
        return f"inject {INJECTED.get(e.code, 'event')}", {}
    if e.kind == FLUSH:
        return f"flush {FLUSHED[e.code]}", {}
    if e.kind in (MAP, UNMAP):
        return ("map" if e.kind == MAP else "unmap"), {"frames": e.value}
    if e.kind == BATCH:
        return "batch", {"unmaps": e.value}
    return f"event {e.kind}", {}


def picture(trace):
    """The object to be written as JSON."""
    names = Names()
    begins = [events[0].tsc - (events[0].value if events[0].kind in LONG else 0)
              for events in trace.events.values() if events]
    origin = min(begins, default=0)
    out = []

    def add(ph, name, pid, tid, tsc, ticks=None, args=None):
        one = {"ph": ph, "name": name, "pid": pid, "tid": tid, "ts": (tsc - origin) * 1000 / trace.khz}
        if ticks is not None:
            one["dur"] = ticks * 1000 / trace.khz
        if ph == "i":
            one["s"] = "t"
        if args:
            one["args"] = args
        out.append(one)

    for cpu, events in trace.events.items():
        loaded = None  # (vCPU, since)
        for e in events:
            who = {"vcpu": f"d{e.domain}v{e.vcpu}"} if e.domain else {}
            if e.kind == EXIT:
                add("X", names.code(e.code), PROCESSORS, cpu, e.tsc - e.value, e.value,
                    who | {"ticks": e.value})
            elif e.kind in LONG:
                add("X", LONG[e.kind], PROCESSORS, cpu, e.tsc - e.value, e.value, who)
            elif e.kind == LOAD:
                if loaded:
                    add("X", f"cpu{cpu}", *loaded[0], loaded[1], e.tsc - loaded[1])
                loaded = ((e.domain, e.vcpu), e.tsc) if e.domain else None
            else:
                name, args = _instant(e)
                add("i", name, PROCESSORS, cpu, e.tsc, None, who | args)
        if loaded:
            add("X", f"cpu{cpu}", *loaded[0], loaded[1], events[-1].tsc - loaded[1])
    out.sort(key=lambda one: (one["pid"], one["tid"], one["ts"], -one.get("dur", 0)))
    return {"displayTimeUnit": "ns", "traceEvents": _tracks(trace, out) + out}


def _tracks(trace, out):
    """Names of processes and threads."""
    meta = [{"ph": "M", "name": "process_name", "pid": PROCESSORS, "tid": 0, "args": {"name": "processors"}}]
    meta += [{"ph": "M", "name": "thread_name", "pid": PROCESSORS, "tid": cpu, "args": {"name": f"cpu{cpu}"}}
             for cpu in trace.events]
    vcpus = sorted({(one["pid"], one["tid"]) for one in out if one["pid"] != PROCESSORS})
    for domain in sorted({d for d, _ in vcpus}):
        meta.append({"ph": "M", "name": "process_name", "pid": domain, "tid": 0,
                     "args": {"name": trace.name(domain)}})
    meta += [{"ph": "M", "name": "thread_name", "pid": d, "tid": v, "args": {"name": f"vcpu{v}"}}
             for d, v in vcpus]
    return meta


# --- the numbers -------------------------------------------------------------------------------------


def summary(trace, unit="instructions"):
    """A text: exits by reason, for all guests and for each; what else happened; what was lost."""
    names = Names()
    by_code = {}
    for (_, code), (count, ticks) in trace.exits.items():
        old = by_code.get(code, (0, 0))
        by_code[code] = (old[0] + count, old[1] + ticks)
    lines = ["all guests", *_table(by_code, names, unit)]
    for domain in sorted({d for d, _ in trace.exits}):
        own = {code: sums for (d, code), sums in trace.exits.items() if d == domain}
        lines += ["", trace.name(domain), *_table(own, names, unit)]
    lines += ["", *_others(trace)]
    return "\n".join(lines) + "\n"


def _table(by_code, names, unit):
    total = sum(ticks for _, ticks in by_code.values())
    lines = [f"  {'exit':<34}{'count':>10}{unit:>16}{'each':>10}{'share':>8}"]
    for code, (count, ticks) in sorted(by_code.items(), key=lambda x: -x[1][1]):
        lines.append(f"  {names.code(code):<34}{count:>10}{ticks:>16}{ticks / count:>10.1f}"
                     f"{100 * ticks / max(total, 1):>7.1f}%")
    count = sum(c for c, _ in by_code.values())
    lines.append(f"  {'sum':<34}{count:>10}{total:>16}{total / max(count, 1):>10.1f}{100:>7.1f}%")
    return lines


def _others(trace):
    lines = ["events kept in the rings"]
    for cpu, events in sorted(trace.events.items()):
        kinds = {}
        for e in events:
            name = LONG.get(e.kind) or ("load" if e.kind == LOAD else _instant(e)[0])
            kinds[name] = kinds.get(name, 0) + 1
        text = ", ".join(f"{n} {k}" for k, n in sorted(kinds.items(), key=lambda x: -x[1]))
        lines.append(f"  cpu{cpu}: {text or 'none'}; {trace.lost[cpu]} older ones overwritten")
    return lines
