"""Walks x86-64 page tables in a dump of a machine's physical memory, from outside the hypervisor.

Also reads include/layout.h, so that what is found can be held against what should be there.
"""

import re
import struct
from dataclasses import dataclass

from . import ROOT

PRESENT, WRITE, USER, LARGE = 1 << 0, 1 << 1, 1 << 2, 1 << 7
NX = 1 << 63
ADDRESS = 0x000FFFFFFFFFF000
CANONICAL_TOP = 0xFFFF000000000000
LEVEL_SHIFT = (39, 30, 21, 12)


@dataclass(frozen=True)
class Leaf:
    """One mapping, with the rights that all levels together give."""

    va: int
    pa: int
    size: int
    write: bool
    execute: bool
    user: bool

    def __str__(self):
        rights = "r" + ("w" if self.write else "-") + ("x" if self.execute else "-")
        return f"{self.va:#x} -> {self.pa:#x} size {self.size:#x} {rights}{'u' if self.user else ''}"


class WalkError(RuntimeError):
    """The tables cannot be followed."""


def walk(read, cr3):
    """All leaves below cr3, in the order of their addresses. read(address, length) gives bytes."""
    leaves = []
    _walk(read, cr3 & ADDRESS, 0, 0, True, True, True, leaves)
    return leaves


def _walk(read, table, level, base, write, execute, user, leaves):
    try:
        entries = struct.unpack("<512Q", read(table, 4096))
    except struct.error:
        raise WalkError(f"a table of level {4 - level} at {table:#x} lies outside RAM") from None
    for index, entry in enumerate(entries):
        if not entry & PRESENT:
            continue
        va = base | index << LEVEL_SHIFT[level]
        if level == 0 and index >= 256:
            va |= CANONICAL_TOP
        w = write and bool(entry & WRITE)
        x = execute and not entry & NX
        u = user and bool(entry & USER)
        if level == 3 or (level in (1, 2) and entry & LARGE):
            size = 1 << LEVEL_SHIFT[level]
            leaves.append(Leaf(va, entry & ADDRESS & ~(size - 1), size, w, x, u))
        else:
            _walk(read, entry & ADDRESS, level + 1, va, w, x, u, leaves)


def layout(path=ROOT / "include/layout.h"):
    """The LAYOUT_* and PRIVATE_* constants of the hypervisor itself, by name."""
    names = {}
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    for name, value in re.findall(r"^#define\s+((?:LAYOUT|PRIVATE)_\w+)[ \t]+(\S.*)$", text, re.M):
        value = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)(?:[uU]|[lL])*\b", r"\1", value)
        value = re.sub(r"\b(?:LAYOUT|PRIVATE)_\w+", lambda m: str(names[m[0]]), value)
        if not re.fullmatch(r"[0-9a-fA-Fx()+\-*/%&|~<> ]+", value):
            raise WalkError(f"{path}: cannot read {name} = {value}")
        names[name] = eval(value.replace("/", "//"))  # only digits and operators are left, see above
    return names


def regions(names):
    """name -> (first address, end) of the regions that may hold mappings."""
    slot = names["LAYOUT_SLOT_SIZE"]
    return {
        "frame table": (names["LAYOUT_FRAME_TABLE"], names["LAYOUT_FRAME_TABLE"] + slot),
        "vmap": (names["LAYOUT_VMAP"], names["LAYOUT_VMAP"] + names["LAYOUT_VMAP_SIZE"]),
        "private": (names["LAYOUT_PRIVATE"], names["LAYOUT_PRIVATE"]
                    + names["LAYOUT_PRIVATE_SIZE"] * names["LAYOUT_CPUS_MAX"]),
        "pool": (names["LAYOUT_POOL"], names["LAYOUT_POOL"] + names["LAYOUT_PHYS_LIMIT"]),
        "image": (names["LAYOUT_IMAGE"], names["LAYOUT_IMAGE"] + (1 << 30)),
    }


def region_of(leaf, table):
    """The region a leaf lies in as a whole, or None."""
    for name, (first, end) in table.items():
        if first <= leaf.va and leaf.va + leaf.size <= end:
            return name
    return None


def private_ranges(leaves, names):
    """The CPUs (by index) whose private range is mapped."""
    first = names["LAYOUT_PRIVATE"]
    size = names["LAYOUT_PRIVATE_SIZE"]
    return {(x.va - first) // size for x in leaves
            if first <= x.va < first + size * names["LAYOUT_CPUS_MAX"]}


def _merged(ranges):
    """The same addresses as ranges in order that do not touch."""
    merged = []
    for first, end in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((first, end))
    return merged


def _overlaps(a, b):
    """Where each overlap of two merged lists begins."""
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if max(a[i][0], b[j][0]) < min(a[i][1], b[j][1]):
            found.append(max(a[i][0], b[j][0]))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return found


def problems(leaves, names, free):
    """What is forbidden among the leaves; `free` is a list of (first, last) frame numbers."""
    table = regions(names)
    bad = []
    writable, executable = [], []  # physical ranges (first, end)
    for leaf in leaves:
        where = region_of(leaf, table)
        if leaf.write and leaf.execute:
            bad.append(f"writable and executable: {leaf}")
        if leaf.user:
            bad.append(f"accessible to user mode: {leaf}")
        if leaf.va == leaf.pa:
            bad.append(f"mapped one to one: {leaf}")
        if where is None:
            bad.append(f"outside every region of include/layout.h: {leaf}")
        elif where == "pool" and leaf.va - names["LAYOUT_POOL"] != leaf.pa:
            bad.append(f"in the pool region at another frame's place: {leaf}")
        elif where == "image" and leaf.va - names["LAYOUT_IMAGE"] != leaf.pa:
            bad.append(f"in the image region and not the image: {leaf}")
        elif leaf.execute and where != "image":
            bad.append(f"executable outside the image: {leaf}")
        if leaf.write:
            writable.append((leaf.pa, leaf.pa + leaf.size))
        if leaf.execute:
            executable.append((leaf.pa, leaf.pa + leaf.size))
        for first, last in free:
            if leaf.pa >> 12 <= last and first < (leaf.pa + leaf.size) >> 12:
                bad.append(f"maps a frame of the free range {first:#x}-{last:#x}: {leaf}")
    both = [f"{first:#x}" for first in _overlaps(_merged(writable), _merged(executable))]
    if both:
        bad.append("writable by one mapping and executable by another: " + ", ".join(both[:8]))
    return bad
