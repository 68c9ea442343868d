"""Every instruction of one operation, listed by Bochs's debugger between two magic breakpoints.

From that list come the serialising instructions and the locked operations of a row, and the profile
that says which function its instructions belong to: counted, not estimated.
"""

import bisect
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field

from . import machine

LINE = re.compile(rb"^\(0\)\.\[\d+\] \[0x[0-9a-f]+\] [0-9a-f]+:([0-9a-f]+) \(.*?\): (.*?) *; ")
STARTS = b"Tracing enabled"
ENDS = b"Magic breakpoint"
HYPERVISOR = 0xffff800000000000

# SDM Vol. 3, "Serializing Instructions". VM entries and exits are not counted here: what has one says
# so by its nature.
SERIALISING = re.compile(r"^(invlpg|invept|invvpid|invpcid|invd|wbinvd|wrmsr|lgdt|lidt|lldt|ltr|cpuid|"
                         r"iret\w*|rsm|serialize|mov (cr[0-4]|dr\d), )")
LOCKED = re.compile(r"^(lock |xchg .*\bptr\b)")


@dataclass
class Trace:
    insns: int = 0
    serialising: int = 0
    locked: int = 0
    functions: Counter = field(default_factory=Counter)
    mnemonics: Counter = field(default_factory=Counter)


class TracingBochs(machine.Bochs):
    """A Bochs that stops at magic breakpoints and lists what lies between each two of them."""

    CONFIG = machine.Bochs.CONFIG + "magic_break: enabled=1\n"

    def __init__(self, *args, sections, **rest):
        super().__init__(*args, **rest)
        self.DEBUGGER = "c\n" + "trace on\nc\ntrace off\nc\n" * sections


def symbols(elf):
    """Sorted addresses and names of the hypervisor's functions."""
    text = subprocess.run(["nm", "-n", str(elf)], capture_output=True, text=True, check=True).stdout
    table = []
    for line in text.splitlines():
        address, kind, name = line.split()
        if kind in "tT" and not name.startswith("."):
            table.append((int(address, 16), name))
    return [a for a, _ in table], [n for _, n in table]


def parse(path, names, elf):
    """The traces in a debugger's output; names in order. Returns name -> Trace."""
    addresses, functions = symbols(elf)
    traces, current = [], None
    with open(path, "rb") as f:
        for line in f:
            if STARTS in line:
                current = Trace()
                traces.append(current)
            elif ENDS in line:
                current = None
            elif current is not None and (m := LINE.match(line)):
                _count(current, int(m[1], 16), m[2].decode(), addresses, functions)
    if len(traces) != len(names):
        raise machine.MachineError(f"{path}: {len(traces)} traces, {len(names)} were announced")
    return dict(zip(names, traces))


def _count(trace, address, text, addresses, functions):
    trace.insns += 1
    if address < HYPERVISOR:
        trace.functions["the guest"] += 1
        return
    trace.serialising += bool(SERIALISING.match(text))
    trace.locked += bool(LOCKED.match(text))
    trace.mnemonics[text.split()[0]] += 1
    trace.functions[functions[bisect.bisect_right(addresses, address) - 1]] += 1
