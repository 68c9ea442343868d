"""Running the benchmark image and judging its figures."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import ROOT, benchtrace, console, guestspec, iso, machine
from .benchrows import ROWS, WITHOUT

BASELINE = ROOT / "tests/bench-baseline.json"
TOLERANCE = 1.05
SECONDS = 240
MODEL = machine.BOCHS_CPU
BENCH = re.compile(r"^bench: (\S+) samples=(\d+) mean=(\d+\.\d+) max=(\d+)$")
LOAD = re.compile(r"^load: (\S+) entries=(\d+) mean=(\d+\.\d+) max=(\d+)$")
TRACE = re.compile(r"^trace: (\S+)$")


class BenchError(RuntimeError):
    """The benchmark did not come to its end; the message says why."""


@dataclass
class Figures:
    """What one run measured."""

    rows: dict = field(default_factory=dict)  # name -> (mean, max, samples)
    load: dict = field(default_factory=dict)  # name -> [(entries, mean, max)]
    traced: list = field(default_factory=list)  # names, in the order in which they were announced


def guests(build):
    folder = Path(build) / "guests"
    return [guestspec.Spec(folder / "bench-peer.elf", ["name=peer", "mem=16M"]),
            guestspec.Spec(folder / "bench.elf", ["name=bench", "mem=16M", "priv=peer"]),
            guestspec.Spec(folder / "bench.elf", ["name=touch", "mem=16M", "populate=lazy",
                                                  "cmdline=touch"])]


def make_image(output, kernel, guest_build, load=False):
    words = ["console=com1", "loglvl=warn"] + (["bench=load"] if load else [])
    iso.make(output, kernel, words, guests(guest_build))


def parse(text):
    """The figures in a serial output."""
    figures = Figures()
    for line in console.clean(text).split("\n"):
        line = re.sub(r"^(keyhole:|\[(bench|touch)\]) ", "", line)
        if m := BENCH.match(line):
            figures.rows[m[1]] = (float(m[3]), int(m[4]), int(m[2]))
        elif m := LOAD.match(line):
            figures.load.setdefault(m[1], []).append((int(m[2]), float(m[3]), int(m[4])))
        elif m := TRACE.match(line):
            figures.traced.append(m[1])
    return figures


def run(image, log_dir, model=MODEL, sections=None, direct_map=False):
    """Boots the image under Bochs; with sections, lists that many traces. Returns the figures.

    A comparator with a direct map has pages of guests mapped, which is no fault of it.
    """
    if sections is None:
        box = machine.Bochs(image, log_dir, mem=256, model=model)
    else:
        box = benchtrace.TracingBochs(image, log_dir, mem=256, model=model, sections=sections)
    with box:
        reason = box.run(SECONDS)
    log = console.parse(box.text)
    problems = [x for x in log.problems() if not (direct_map and "pages of guests mapped" in x)]
    for name in ("peer", "bench", "touch"):
        problems += [f"guest {name}: {p}" for p in log.guest_report(name).problems()]
    problems += [x for x in log.host if x.startswith("bench: ") and not BENCH.match(x)]
    if reason == "timeout":
        problems.insert(0, f"the time limit of {SECONDS} s passed")
    if problems:
        raise BenchError("\n".join(problems + [f"serial output: {box.serial_path}"]))
    return parse(box.text)


def compiler(cc="gcc"):
    """The compiler's name and version, as it says itself."""
    program = shutil.which(cc)
    if program is None:
        raise BenchError(f"{cc} is missing")
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return text.splitlines()[0]


def collect(figures, traces, direct, direct_reason):
    """The rows as bench.json has them."""
    out = []
    for row in ROWS:
        measured = figures.rows.get(row.name)
        cost = {"serialising": None, "locked": None}
        trace = traces.get(row.name)
        if measured and trace:
            without = traces.get(WITHOUT.get(row.name, ""), benchtrace.Trace())
            for key in cost:
                cost[key] = round((getattr(trace, key) - getattr(without, key)) / row.unit_pages, 2)
        other = direct.rows.get(row.name) if direct else None
        reasons = [] if measured else [row.missing or "the run printed no figure for it"]
        if not other:
            reasons.append("direct_map: " + (direct_reason or "not measured there"))
        out.append({"name": row.name, "what": row.what,
                    "insns": measured[0] if measured else None,
                    "max": measured[1] if measured else None,
                    "samples": measured[2] if measured else None, **cost, "goal": row.goal,
                    "direct_map": other[0] if other else None, "peer": row.peer,
                    "peer_name": row.peer_name or None, "reason": "; ".join(reasons) or None})
    return out


def verdict(row):
    """Whether the goal is reached; row as in bench.json, counted in instructions unless it says."""
    figure = row["value"] if "value" in row else row["insns"]
    if figure is None:
        return "not measured"
    if row.get("guest_pages"):
        return f"{row['guest_pages']} pages of guests mapped"
    if figure <= row["goal"]:
        return "reached"
    return f"{figure / row['goal']:.1f} times the goal"


def _cell(value):
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) and value % 1 else f"{value:.0f}"


def table(rows):
    """The rows as text."""
    head = ["operation", "insns", "max", "serial.", "locked", "goal", "direct map", "others", ""]
    lines = [[r["name"], *(_cell(r[k]) for k in ("insns", "max", "serialising", "locked", "goal",
                                                 "direct_map")),
              f"{_cell(r['peer'])} {r['peer_name']}" if r["peer"] else "-", verdict(r)]
             for r in rows]
    return _columns(head, lines)


def memory_table(rows):
    """The same for the rows of benchmemory."""
    head = ["memory", "KiB", "goal", "direct map", "others", ""]
    return _columns(head, [[r["what"], *(_cell(r[k]) for k in ("value", "goal", "direct_map")),
                            f"{_cell(r['peer'])} {r['peer_name']}", verdict(r)] for r in rows])


def _columns(head, lines):
    """First and last column to the left, the others to the right."""
    widths = [max(len(x[i]) for x in [head, *lines]) for i in range(len(head))]
    text = []
    for line in [head, *lines]:
        cells = [c.ljust(w) if i in (0, len(head) - 1) else c.rjust(w)
                 for i, (c, w) in enumerate(zip(line, widths))]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def profile(name, trace, pages=1, most=8):
    """Where the instructions of a trace go, by function."""
    parts = [f"{n / pages:.0f} {f}" if pages == 1 else f"{n / pages:.1f} {f}"
             for f, n in trace.functions.most_common(most)]
    rest = sum(n for _, n in trace.functions.most_common()[most:])
    if rest:
        parts.append(f"{rest / pages:.1f} elsewhere")
    return f"{name}: " + ", ".join(parts)


def load_baseline(path=BASELINE):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as e:
        raise BenchError(f"{path}: {e}") from None


def baseline_of(figures, cc="gcc"):
    return {"compiler": compiler(cc), "cpu": MODEL,
            "insns": {name: figures.rows[name][0] for name in sorted(figures.rows)}}


def compare(figures, baseline):
    """For each row (name, measured or None, allowed or None, whether it is good)."""
    out = []
    for name in sorted(set(figures.rows) | set(baseline["insns"])):
        now = figures.rows[name][0] if name in figures.rows else None
        then = baseline["insns"].get(name)
        good = now is not None and then is not None and now <= then * TOLERANCE
        out.append((name, now, then, good))
    return out
