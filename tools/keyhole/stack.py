"""How deep the hypervisor's stacks can get: frame sizes from the compiler (-fstack-usage), calls from
the disassembled image.

A call through a pointer says nothing of where it goes: tools/rules.toml lists for each function that
makes such calls what it can reach, and a function that makes one and is not listed is an error.
"""

import re
import subprocess
from dataclasses import dataclass, field

SYMBOL = re.compile(r"^([0-9a-f]+) <([^>]+)>:$")
CALL = re.compile(r"^\s+[0-9a-f]+:\s+(call|jmp|j[a-z]+)\s+(?:\*)?(.*)$")
TARGET = re.compile(r"^[0-9a-f]+ <([^>+]+)(\+0x[0-9a-f]+)?>")
INDIRECT = re.compile(r"^\s+[0-9a-f]+:\s+(?:notrack )?call\s+\*")
PUSH = re.compile(r"^\s+[0-9a-f]+:\s+push")
SUB_RSP = re.compile(r"^\s+[0-9a-f]+:\s+sub\s+\$0x([0-9a-f]+),%rsp")
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
    """name -> Function, from the disassembly."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", elf], capture_output=True,
                          text=True, check=True).stdout
    functions, current = {}, None
    for line in text.splitlines():
        if m := SYMBOL.match(line):
            name = m[2]
            current = functions.setdefault(name, Function(name))
            if base_name(name) in frames:
                current.frame, current.known = frames[base_name(name)], True
            continue
        if current is None:
            continue
        if INDIRECT.match(line):
            current.indirect = True
        elif m := CALL.match(line):
            if t := TARGET.match(m[2]):
                # A jump inside the function is none of ours; a jump into another is a call.
                if t[1] != current.name and (m[1] == "call" or not t[2]):
                    current.calls.add(t[1])
                elif t[1] == current.name and m[1] == "call" and not t[2]:
                    current.calls.add(t[1])
        elif not current.known:
            # Assembly: what it pushes is its frame; no path pops and pushes again.
            if PUSH.match(line):
                current.frame += 8
            elif m := SUB_RSP.match(line):
                current.frame += int(m[1], 16)
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
        reached = {g for g in functions for p in patterns if re.fullmatch(p, g)}
        for p in patterns:
            if not any(re.fullmatch(p, g) for g in functions):
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
    """name -> (bytes, path as a list of names), the deepest from there on."""
    deepest = {}
    for component in _components(functions):
        members = set(component)
        recursive = len(component) > 1 or component[0] in functions[component[0]].calls
        rounds = 1
        if recursive:
            bounds = [recursion[base_name(m)] for m in component if base_name(m) in recursion]
            if not bounds:
                raise StackError("recursion that tools/rules.toml [stack.recursion] does not bound: "
                                 + " -> ".join(sorted(component)))
            rounds = max(bounds)
        own = sum(functions[m].frame + RETURN_ADDRESS for m in component) * rounds
        below, path = 0, []
        for m in component:
            for callee in functions[m].calls - members:
                if callee in deepest and deepest[callee][0] > below:
                    below, path = deepest[callee]
        label = component[0] if not recursive else f"{'/'.join(sorted(members))} x{rounds}"
        for m in component:
            deepest[m] = (own + below, [f"{label} ({own})", *path])
    return deepest


def roots(functions):
    """Functions that nobody calls: entry points, and targets of what is not seen."""
    called = {c for f in functions.values() for c in f.calls if c != f.name}
    return [name for name in functions if name not in called]
