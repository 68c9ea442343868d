"""How deep the hypervisor's stacks can get: frame sizes from the compiler (-fstack-usage), calls from
the disassembled image.

A call through a pointer says nothing of where it goes: tools/rules.toml lists for each function that
makes such calls what it can reach, and a function that makes one and is not listed is an error.
"""

import re
import subprocess
from dataclasses import dataclass, field

SYMBOL = re.compile(r"^([0-9a-f]+) <([^>]+)>:$")
CALL = re.compile(r"^\s*[0-9a-f]+:\s+(call|jmp|j[a-z]+)\s+(?:\*)?(.*)$")
TARGET = re.compile(r"^([0-9a-f]+) <([^>+]+)(?:\+0x([0-9a-f]+))?>")
INDIRECT = re.compile(r"^\s*[0-9a-f]+:\s+(?:notrack )?call\s+\*")
PUSH = re.compile(r"^\s*[0-9a-f]+:\s+push")
SUB_RSP = re.compile(r"^\s*[0-9a-f]+:\s+sub\s+\$0x([0-9a-f]+),%rsp")
RETURN_ADDRESS = 8


class StackError(RuntimeError):
    """The depth cannot be said; the message names the function and what to do."""


@dataclass
class Function:
    name: str
    frame: int = 0  # bytes, without the return address
    known: bool = False  # the compiler told its frame
    calls: set = field(default_factory=set)
    indirect: bool = False


def base_name(name):
    """f.constprop.0 and f.cold are f, as far as its frame goes."""
    return name.split(".", 1)[0] if not name.startswith(".") else name


def read_frames(su_files):
    """function name -> the largest frame under that name; and those whose frame has no bound."""
    frames, unbounded = {}, []
    for path in su_files:
        for line in path.read_text(encoding="utf-8").splitlines():
            place, size, kind = line.rsplit("\t", 2)
            name = base_name(place.rsplit(":", 1)[1])
            frames[name] = max(frames.get(name, 0), int(size))
            if kind == "dynamic":
                unbounded.append(place)
    return frames, unbounded


def read_calls(elf, frames):
    """start address -> Function, from the disassembly. Static functions may share a name."""
    text = subprocess.run(["objdump", "-d", "-j", ".text", "--no-show-raw-insn", elf],
                          capture_output=True, text=True, check=True).stdout
    functions, current, here = {}, None, None
    for line in text.splitlines():
        if m := SYMBOL.match(line):
            here, current = int(m[1], 16), Function(m[2])
            functions[here] = current
            if base_name(m[2]) in frames:
                current.frame, current.known = frames[base_name(m[2])], True
            continue
        if current is None:
            continue
        if INDIRECT.match(line):
            current.indirect = True
        elif m := CALL.match(line):
            if t := TARGET.match(m[2]):
                start = int(t[1], 16) - int(t[3] or "0", 16)
                # A jump inside the function is none of ours, nor one from its cold part back; one
                # into another is a call.
                back = m[1] != "call" and t[3] and current.name == f"{t[2]}.cold"
                if (start != here and not back) or (m[1] == "call" and not t[3]):
                    current.calls.add(start)
        elif not current.known:
            # Assembly: what it pushes is its frame; no path pops and pushes again.
            if PUSH.match(line):
                current.frame += 8
            elif m := SUB_RSP.match(line):
                current.frame += int(m[1], 16)
    if not any(f.calls for f in functions.values()):
        raise StackError(f"no call found in {elf}: objdump writes another form than this reads")
    return functions


def resolve_indirect(functions, table):
    """Adds the edges of rules.toml; raises StackError for a function that is not listed."""
    missing = []
    for f in functions.values():
        if not f.indirect:
            continue
        patterns = table.get(base_name(f.name))
        if patterns is None:
            missing.append(f.name)
            continue
        reached = {key for key, g in functions.items() for p in patterns
                   if re.fullmatch(p, base_name(g.name))}
        for p in patterns:
            if not any(re.fullmatch(p, base_name(g.name)) for g in functions.values()):
                raise StackError(f"rules.toml: [stack.indirect] {f.name}: nothing is named {p}")
        f.calls |= reached
    if missing:
        raise StackError("calls through a pointer, and tools/rules.toml [stack.indirect] does not say "
                         "what they can reach:\n" + "\n".join(sorted(missing)))


def _components(functions):
    """Strongly connected components, callees first (Tarjan, without recursion)."""
    index, low, on_stack, order = {}, {}, set(), []
    stack, counter = [], 0
    for start in functions:
        if start in index:
            continue
        work = [(start, iter(sorted(c for c in functions[start].calls if c in functions)))]
        index[start] = low[start] = counter
        counter += 1
        stack.append(start)
        on_stack.add(start)
        while work:
            name, calls = work[-1]
            pushed = False
            for callee in calls:
                if callee not in index:
                    index[callee] = low[callee] = counter
                    counter += 1
                    stack.append(callee)
                    on_stack.add(callee)
                    work.append((callee, iter(sorted(c for c in functions[callee].calls
                                                     if c in functions))))
                    pushed = True
                    break
                if callee in on_stack:
                    low[name] = min(low[name], index[callee])
            if pushed:
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[name])
            if low[name] == index[name]:
                component = []
                while True:
                    member = stack.pop()
                    on_stack.discard(member)
                    component.append(member)
                    if member == name:
                        break
                order.append(component)
    return order


def depths(functions, recursion):
    """key -> (bytes, path as a list of names), the deepest from there on."""
    deepest = {}
    for component in _components(functions):
        members = set(component)
        names = sorted(functions[m].name for m in component)
        recursive = len(component) > 1 or component[0] in functions[component[0]].calls
        rounds = 1
        if recursive:
            bounds = [recursion[base_name(n)] for n in names if base_name(n) in recursion]
            if not bounds:
                raise StackError("recursion that tools/rules.toml [stack.recursion] does not bound: "
                                 + " -> ".join(names))
            rounds = max(bounds)
        own = sum(functions[m].frame + RETURN_ADDRESS for m in component) * rounds
        below, path = 0, []
        for m in component:
            for callee in functions[m].calls - members:
                if callee in deepest and deepest[callee][0] > below:
                    below, path = deepest[callee]
        label = "/".join(names) + (f" x{rounds}" if recursive else "")
        for m in component:
            deepest[m] = (own + below, [f"{label} ({own})", *path])
    return deepest


def roots(functions):
    """Functions that nobody calls: entry points, and targets of what is not seen."""
    called = {c for key, f in functions.items() for c in f.calls if c != key}
    return [key for key in functions if key not in called]
