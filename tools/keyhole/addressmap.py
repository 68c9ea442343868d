"""The picture of the hypervisor's address space: from its `map:` lines (mm/audit_table.c) to an SVG.

One row for each region of include/layout.h, with the address space that the region may use and what of
it is mapped; on top, all RAM of the machine as one bar to scale.
"""

import re
from dataclasses import dataclass, field
from html import escape

from . import pagetables

RAM = re.compile(r"^map: ram (\d+) free (\d+) guests (\d+)$")
RANGE = re.compile(r"^map: 0x([0-9a-f]+) (\d+) (\S+) (\S+) ([r-][w-][x-])$")
END = re.compile(r"^map: end (\d+)$")
PAGE = 4096

INK, SOFT, FRAME, EMPTY = "#1f2933", "#5c6773", "#aab4be", "#f1f3f5"
RIGHTS = {"r-x": ("#3f7fbf", "read, execute"), "r--": ("#6fae7a", "read"),
          "rw-": ("#e0a23c", "read, write")}
SECRET = "#c0504d"  # what derives from a guest, mapped on one CPU alone
GUESTS, OURS, FREE = "#d3c4e3", "#e0a23c", "#e7ebee"
WORDS = {
    "image.text": "text", "image.rodata": "read-only data", "image.data": "data",
    "frame-table": "16 bytes for each frame of RAM", "tables.used": "tables in use",
    "tables.free": "tables in reserve", "vmap.heap": "heap", "vmap.device": "device registers",
    "vmap.meta-areas": "records of vmap", "vmap.meta-heap": "records of the heap",
    "vmap.meta-pahash": "PA\N{RIGHTWARDS ARROW}VA hash", "vmap.other": "other areas",
    "private.tables": "its page tables", "private.data": "its data", "private.stack": "stack",
    "private.ist": "interrupt stacks", "private.vcpu": "registers",
    "private.window": "an open slot of the window", "direct-map": "all memory",
    "stray": "against the rules",
}


@dataclass(frozen=True)
class Range:
    va: int
    pages: int
    kind: str
    owner: str
    rights: str

    @property
    def end(self):
        return self.va + self.pages * PAGE

    @property
    def colour(self):
        if self.kind in ("private.vcpu", "private.window", "direct-map", "stray"):
            return SECRET
        return RIGHTS.get(self.rights, (SECRET, ""))[0]


@dataclass
class Map:
    ranges: list = field(default_factory=list)
    ram: int = 0  # pages, as the rest
    free: int = 0
    guests: int = 0
    told: int | None = None  # how many ranges the list should have

    @property
    def mapped(self):
        """Pages of RAM that are mapped."""
        return sum(r.pages for r in self.ranges if r.kind != "vmap.device")

    def problems(self):
        bad = []
        if self.told != len(self.ranges) or not self.ranges:
            bad.append(f"{len(self.ranges)} ranges, {self.told} told")
        for a, b in zip(self.ranges, self.ranges[1:]):
            if b.va < a.end:
                bad.append(f"{b.va:#x} is not behind {a.va:#x}")
        bad += [f"{r.va:#x}: {r.kind}" for r in self.ranges if r.kind not in WORDS]
        if not 0 < self.mapped <= self.ram:
            bad.append(f"{self.mapped} pages mapped of {self.ram}")
        return bad


def parse(lines):
    """The first list among the hypervisor's lines (console.Log.host)."""
    found = Map()
    for line in lines:
        if m := RAM.match(line):
            found.ram, found.free, found.guests = (int(x) for x in m.groups())
        elif m := RANGE.match(line):
            found.ranges.append(Range(int(m[1], 16), int(m[2]), m[3], m[4], m[5]))
        elif m := END.match(line):
            found.told = int(m[1])
            break
    return found


def size(pages):
    """4K pages, as people say it."""
    for unit, name in ((1 << 30, "TiB"), (1 << 20, "MiB"), (1, "KiB")):
        kib = pages * 4
        if name == "TiB" and kib >= unit:
            return f"{kib / unit:.4g} TiB"
        if name == "MiB" and kib >= 1 << 10:
            return f"{kib / (1 << 10):.3g} MiB" if kib < 1 << 20 else f"{kib / (1 << 20):.4g} GiB"
    return f"{pages * 4} KiB"


class Drawing:
    """SVG text, a shape at a time."""

    def __init__(self, width):
        self.width, self.parts = width, []

    def box(self, x, y, w, h, fill, stroke=None, title="", radius=0, dash=False):
        line = f' stroke="{stroke}"' if stroke else ""
        line += ' stroke-dasharray="3 3"' if dash else ""
        tip = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" '
                          f'rx="{radius}" fill="{fill}"{line}>{tip}</rect>')

    def text(self, x, y, words, size_px=12, fill=INK, anchor="start", bold=False, mono=False):
        family = "monospace" if mono else "sans-serif"
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size_px}" fill="{fill}" '
                          f'font-family="{family}" text-anchor="{anchor}"{weight}>{escape(words)}</text>')

    def finish(self, height):
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height:.0f}" '
            f'width="{self.width}" height="{height:.0f}" role="img">',
            "<title>What Keyhole's address space holds</title>",
            f'<rect width="{self.width}" height="{height:.0f}" fill="#ffffff"/>',
            *self.parts, "</svg>", ""])


WIDTH, LEFT, RIGHT = 960, 24, 24
LABEL = 190  # where the bars begin
BAR = WIDTH - RIGHT - LABEL
BAR_HEIGHT = 30
GAP_WIDTH, LEAST = 9, 9  # of a gap between ranges, and of a range, in pixels


def rows(found):
    """(title, first address, end, shared, ranges) of each region, in address order."""
    names = pagetables.layout()
    out = []
    for name, (first, end) in pagetables.regions(names).items():
        inside = [r for r in found.ranges if first <= r.va < end]
        if name == "private":
            cpus = sorted({(r.va - first) // names["LAYOUT_PRIVATE_SIZE"] for r in inside}) or [0]
            for cpu in cpus:
                base = first + cpu * names["LAYOUT_PRIVATE_SIZE"]
                stop = base + names["LAYOUT_PRIVATE_SIZE"]
                out.append((f"private to cpu{cpu}", base, stop, False,
                            [r for r in inside if base <= r.va < stop]))
        else:
            title = {"pool": "table pools", "vmap": "vmap area"}.get(name, name)
            out.append((title, first, end, True, inside))
    direct = [r for r in found.ranges if r.kind == "direct-map"]
    if direct:
        first = names["LAYOUT_DIRECT_MAP"]
        out.append(("direct map", first, max(r.end for r in direct), True, direct))
    return sorted(out, key=lambda row: row[1])


def _widths(pieces, room):
    """Pixels for each piece: by the logarithm of its size, the rest shared out."""
    weights = [max(1, p.pages).bit_length() for p in pieces]
    spare = max(0, room - LEAST * len(pieces))
    return [LEAST + spare * w / sum(weights) for w in weights]


def _merge(ranges):
    """Ranges of one kind, owner and rights become one piece where only guards lie between."""
    pieces = []
    for r in ranges:
        last = pieces[-1][-1] if pieces else None
        if last and (last.kind, last.owner, last.rights) == (r.kind, r.owner, r.rights) \
                and r.va - last.end <= 16 * PAGE:
            pieces[-1].append(r)
        else:
            pieces.append([r])
    return [Range(p[0].va, sum(r.pages for r in p), p[0].kind, p[0].owner, p[0].rights)
            for p in pieces]


def caption(kind, rights, owners, pages):
    """What is said of all pieces of one kind in a row."""
    if kind == "frame-table" and rights == "r--":
        return f"one page of zeros, for what is no RAM: {size(pages)}"
    if kind == "private.vcpu":
        return f"registers of {', '.join(owners)}, the guest that runs: {size(pages)}"
    of = f" of {', '.join(owners)}" if any(o.startswith("d") for o in owners) else ""
    return f"{WORDS.get(kind, kind)}{of}: {size(pages)}"


def _region(d, y, title, first, end, shared, ranges, window):
    """A row; returns its height."""
    d.text(LEFT, y + 13, title, 14, bold=True)
    d.text(LEFT, y + 28, f"{first:#x}", 10, SOFT, mono=True)
    d.text(LEFT, y + 41, f"{size((end - first) // PAGE)}, {'all CPUs' if shared else 'no other CPU'}",
           10.5, SOFT)
    d.box(LABEL, y, BAR, BAR_HEIGHT, EMPTY, FRAME, "not mapped", 3)
    pieces = _merge(ranges)
    tail = 70 + (150 if window else 0)
    taken = _widths(pieces, min(BAR - tail, 120 * len(pieces)) - GAP_WIDTH * (len(pieces) + 1))
    x, captions = LABEL, []
    behind = first
    for piece, width in zip(pieces, taken):
        x += GAP_WIDTH if piece.va > behind else 1
        tip = f"{piece.kind} of {piece.owner}, {piece.rights}, {piece.pages} pages from {piece.va:#x}"
        d.box(x, y + 2, width, BAR_HEIGHT - 4, piece.colour, None, tip, 2)
        captions.append((x, piece))
        x += width
        behind = piece.end
    if window:
        x += GAP_WIDTH
        d.box(x, y + 2, 140, BAR_HEIGHT - 4, "#ffffff", SECRET, "512 slots of 4 KiB and one of 2 MiB",
              2, dash=True)
        opened = sum(r.pages for r in ranges if r.kind == "private.window")
        d.text(x + 70, y + 19, f"window: {opened or 'no'} slot{'s' if opened != 1 else ''} open", 11, SECRET,
               "middle")
    d.text(WIDTH - RIGHT - 8, y + 19, "not mapped", 10.5, SOFT, "end")
    return _captions(d, y + BAR_HEIGHT, captions)


def _captions(d, y, captions):
    """The legend of one row: each class once, in a line that wraps."""
    seen, x, line = {}, LABEL, 0
    for _, piece in captions:
        key = (piece.kind, piece.rights, piece.colour)
        pages, owners = seen.get(key, (0, []))
        seen[key] = (pages + piece.pages, owners + [piece.owner] * (piece.owner not in owners))
    for (kind, rights, colour), (pages, owners) in seen.items():
        words = caption(kind, rights, owners, pages)
        width = 14 + len(words) * 5.9 + 14
        if x + width > WIDTH - RIGHT and x > LABEL:
            x, line = LABEL, line + 1
        d.box(x, y + 8 + line * 16, 9, 9, colour, None, "", 1)
        d.text(x + 14, y + 16 + line * 16, words, 11, INK)
        x += width
    return BAR_HEIGHT + max(24 + line * 16, 16)


def _ram(d, y, found):
    """All RAM to scale; returns the height."""
    whole = WIDTH - LEFT - RIGHT
    rest = max(0, found.ram - found.mapped - found.guests - found.free)
    parts = [("mapped here", found.mapped, OURS), ("guests': memory and registers", found.guests, GUESTS),
             ("other: in use, not mapped here", rest, "#c9d3dc"), ("free", found.free, FREE)]
    per_cent = 100 * found.mapped / found.ram
    d.text(LEFT, y + 14, f"All RAM of the machine, {size(found.ram)}: of it {size(found.mapped)} is mapped, "
           f"{per_cent:.2g} %", 14, bold=True)
    d.box(LEFT, y + 24, whole, 30, EMPTY, FRAME, "", 3)
    x = LEFT
    for name, pages, colour in parts:
        width = whole * pages / found.ram
        d.box(x, y + 25, max(width, 0.8), 28, colour, None, f"{name}: {pages} pages")
        x += width
    x = LEFT
    for name, pages, colour in parts:
        if not pages:
            continue
        words = f"{name}: {size(pages)}"
        d.box(x, y + 64, 9, 9, colour, FRAME, "", 1)
        d.text(x + 14, y + 72, words, 11.5)
        x += 14 + len(words) * 6.1 + 16
    return 92


def svg(found):
    """The picture as text."""
    d = Drawing(WIDTH)
    d.text(LEFT, 34, "Keyhole's address space, one CPU, while a guest runs on it", 18, bold=True)
    d.text(LEFT, 54, "Every mapping of the running system, as the audit finds it in the page tables. Widths "
           "within a row grow with the logarithm of the size.", 11.5, SOFT)
    y = 76
    y += _ram(d, y, found)
    below = f"{0:#x} to {rows(found)[0][1] - 1:#x}" if found.ranges else ""
    d.text(LEFT, y + 13, "lower half", 14, bold=True)
    d.text(LEFT, y + 28, "0x0", 10, SOFT, mono=True)
    d.text(LEFT, y + 41, "128 TiB, all CPUs", 10.5, SOFT)
    d.box(LABEL, y, BAR, BAR_HEIGHT, EMPTY, FRAME, below, 3)
    d.text(LABEL + 12, y + 19, "nothing: no user mappings, nothing mapped one to one", 11, SOFT)
    y += BAR_HEIGHT + 24
    for title, first, end, shared, ranges in rows(found):
        if title == "image" and not any(r.kind == "direct-map" for r in found.ranges):
            d.text(LABEL, y + 4, "no direct map: nowhere is there a mapping of all physical memory", 12,
                   SECRET, bold=True)
            y += 20
        y += _region(d, y, title, first, end, shared, ranges, not shared) + 8
    x = LEFT
    y += 4
    for colour, words in [(c, w) for c, w in RIGHTS.values()] + [
            (SECRET, "derives from a guest: read, write, on this CPU alone"), (EMPTY, "not mapped: faults")]:
        d.box(x, y, 14, 14, colour, FRAME, "", 2)
        d.text(x + 20, y + 11.5, words, 12)
        x += 20 + len(words) * 6.3 + 22
    return d.finish(y + 32)
