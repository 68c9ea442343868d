"""The checks of `make check`. Each is a function that returns a remark, or raises Failed with the cause."""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import ROOT, pagetables, stack

LAYERS = ("boot", "kernel", "mm", "vmx", "drivers", "selftest")
C_FOLDERS = (*LAYERS, "include", "guest-tests", "tests/unit", "tools")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+["<]([^">]+)[">]', re.M)
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)


class Failed(Exception):
    """The cause, first line short, then one line per finding."""


class Context:
    """Where the build is, and the rules."""

    def __init__(self, build):
        self.build = ROOT / build
        self.jobs = os.cpu_count() or 2
        with open(ROOT / "tools/rules.toml", "rb") as f:
            self.rules = tomllib.load(f)


def fail(summary, lines=()):
    raise Failed("\n".join([summary, *map(str, lines)]))


def need(program, package):
    if shutil.which(program) is None:
        fail(f"{program} is missing: apt-get install {package}, or tools/deps")


def run(command, **rest):
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False, **rest)


def files(folders, suffixes):
    """Files below the folders, relative to the root."""
    found = []
    for folder in folders:
        found += [p.relative_to(ROOT) for p in sorted((ROOT / folder).rglob("*"))
                  if p.suffix in suffixes and p.is_file()]
    return found


def make(*arguments):
    """Runs make without what an outer make hands down."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "BUILD", "T", "GUESTS")}
    return run(["make", "--no-print-directory", f"-j{os.cpu_count() or 2}", *arguments], env=env)


def each(context, items, function):
    """Runs function on each item side by side; returns what is not None, in order."""
    with ThreadPoolExecutor(context.jobs) as pool:
        return [r for r in pool.map(function, items) if r is not None]


def code_of(path):
    """A C file without comments and strings, lines kept."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def check_build(context):
    """builds with gcc and with clang, hypervisor and test build, and the guests"""
    for compiler, package in (("gcc", "gcc"), ("clang", "clang")):
        need(compiler, package)
    rel = context.build.relative_to(ROOT)
    for arguments in ([f"BUILD={rel}", "all", "guests"],
                      [f"BUILD={rel}/clang", "CC=clang", "all"],
                      [f"BUILD={rel}/clang-test", "CC=clang", "CONFIG_TEST=1", "all"],
                      [f"BUILD={rel}/test", "CONFIG_TEST=1", "all"]):
        done = make(*arguments)
        if done.returncode != 0:
            fail("make " + " ".join(arguments), done.stdout.splitlines()[-40:])
        for line in done.stdout.splitlines():
            if "warning:" in line:
                fail("make " + " ".join(arguments) + " warns", [line])
    return "gcc, clang, test builds"


def check_format(context):
    """all C is as clang-format writes it"""
    need("clang-format", "clang-format")
    sources = files(C_FOLDERS, (".c", ".h"))
    done = run(["clang-format", "--dry-run", "-Werror", *sources])
    if done.returncode != 0:
        wrong = sorted({line.split(":")[0] for line in done.stdout.splitlines() if ": error:" in line})
        fail("clang-format -i would change", wrong)
    return f"{len(sources)} files"


def check_cppcheck(context):
    """cppcheck finds nothing"""
    need("cppcheck", "cppcheck")
    sources = files((*LAYERS, "guest-tests"), (".c",))
    if not sources:
        fail("there is no source to check")
    done = run(["cppcheck", "--enable=warning,portability", "--std=c11", "--platform=unix64",
                "--inline-suppr", "--quiet", "--error-exitcode=1", f"-j{context.jobs}", "-Iinclude",
                "-Iguest-tests", "-Iguest-tests/lib", "-D__x86_64__", "-D__GNUC__=12",
                "--suppress=missingIncludeSystem", "--suppress=unmatchedSuppression",
                # Knowing of an address is the very thing this code is about.
                "--suppress=nullPointerArithmetic",
                # Its parser stumbles over the list of rules as a macro.
                "--suppress=syntaxError:include/vmx/explain.h",
                # Bounds from the linker script are two symbols, not two objects.
                "--suppress=comparePointers", "--suppress=subtractPointers", *sources])
    if done.returncode != 0:
        fail("cppcheck complains", [x for x in done.stdout.splitlines() if x.strip()])
    return f"{len(sources)} files"


def _kernel_flags():
    """The compile flags of the hypervisor, asked of the Makefile, without what names an output."""
    plan = make("-n", "-B", "V=1", "all").stdout.replace("\\\n", " ")
    for line in plan.splitlines():
        if re.search(r"\s-c\s+\S+\.c\b", line):
            words = shlex.split(line.split("; ")[-1])[1:]  # behind what the recipe says of itself
            cut = [w for w in words if not w.endswith(".c") and w not in ("-c", "-MMD", "-MP",
                                                                         "-fstack-usage", "-g")]
            if "-o" in cut:
                i = cut.index("-o")
                del cut[i:i + 2]
            return cut
    return ["-std=c11", "-ffreestanding", "-Wall", "-Wextra", "-Werror", "-Iinclude"]


def check_headers(context):
    """each header compiles alone, with gcc and with clang; the public ones in 32 bits too"""
    headers = files(("include",), (".h",))
    flags = _kernel_flags()

    def one(job):
        compiler, header, extra = job
        done = run([compiler, *flags, *extra, "-fsyntax-only", "-x", "c", "-include", header,
                    os.devnull])
        return None if done.returncode == 0 else f"{compiler} {header}:\n{done.stdout.strip()}"

    jobs = [(cc, h, ()) for cc in ("gcc", "clang") for h in headers]
    jobs += [(cc, h, ("-m32", "-mcmodel=32" if cc == "gcc" else "-mcmodel=small"))
             for cc in ("gcc", "clang") for h in headers if "public" in h.parts]
    if bad := each(context, jobs, one):
        fail("do not compile alone", bad)
    return f"{len(headers)} headers"


def _layer(path):
    if path.parts[0] == "include":
        return path.parts[1] if len(path.parts) > 2 else "base"
    return path.parts[0]


def _included_layer(path, included, rules):
    """The layer that an #include of a file at `path` reaches, or None for its own folder's files."""
    parts = Path(included).parts
    if parts[0] == "..":
        target = Path(os.path.normpath(path.parent / included))
        return _layer(target)
    if parts[0] in rules or parts[0] == "public":
        return parts[0] if len(parts) > 1 else None
    return None


def layer_errors(rules, name, text):
    """What is wrong with the includes of one file: the pure rule, for tests."""
    path = Path(name)
    layer = _layer(path)
    # A guest, and the public ABI, see the public ABI only.
    allowed = ["public"] if layer in ("guest-tests", "public") else [*rules.get(layer, []), "public"]
    if layer != "public" and layer != "guest-tests":
        allowed.append("base")
    bad = []
    for included in INCLUDE.findall(text):
        reached = _included_layer(path, included, rules)
        if reached is not None and reached not in allowed and reached != layer:
            bad.append(f"{name}: {layer} must not include {included}")
        elif reached is not None and layer not in ("public", "guest-tests") \
                and Path(included).parts[0] == ".." and path.parts[0] != "include":
            bad.append(f"{name}: includes {included} past its folder")
    return bad


def check_layers(context):
    """includes follow the layers of tools/rules.toml"""
    rules = context.rules["layers"]
    sources = files((*LAYERS, "include", "guest-tests"), (".c", ".h", ".S"))
    bad = []
    for source in sources:
        bad += layer_errors(rules, str(source), (ROOT / source).read_text(encoding="utf-8"))
    if bad:
        fail("includes against the layers", bad)
    return f"{len(sources)} files"


def check_writers(context):
    """page-table and EPT entries are written in the files that tools/rules.toml names, and nowhere else"""
    bad = []
    sources = files((*LAYERS, "include"), (".c", ".h"))
    used = set()
    for source in sources:
        code = code_of(source)
        for writer, allowed in context.rules["writers"].items():
            for m in re.finditer(rf"\b{writer}\s*\(", code):
                used.add(writer)
                if str(source) not in allowed:
                    bad.append(f"{source}:{code.count(chr(10), 0, m.start()) + 1}: calls {writer}()")
    missing = set(context.rules["writers"]) - used
    bad += [f"tools/rules.toml: no {name}() exists" for name in sorted(missing)]
    if bad:
        fail("table entries are written outside their files", bad)
    return ", ".join(sorted(used))


def check_forbidden(context):
    """names that must not exist in a hypervisor without a direct map"""
    bad = []
    for source in files((*LAYERS, "include"), (".c", ".h", ".S")):
        code = code_of(source)
        for name, why in context.rules["forbidden"].items():
            for m in re.finditer(rf"\b{re.escape(name)}\b", code):
                bad.append(f"{source}:{code.count(chr(10), 0, m.start()) + 1}: {name}: {why}")
    if bad:
        fail("forbidden names", bad)
    return ""


def check_image(context):
    """no segment is writable and executable, the stack is not executable, none is at address 0"""
    elf = context.build / "keyhole.elf"
    if not elf.is_file():
        fail(f"{elf.relative_to(ROOT)} is missing: make all")
    bad, loads = [], 0
    for line in run(["readelf", "-lW", elf]).stdout.splitlines():
        words = line.split()
        if not words or words[0] not in ("LOAD", "GNU_STACK"):
            continue
        rights = "".join(words[6:-1])
        if words[0] == "LOAD":
            loads += 1
            if "W" in rights and "E" in rights:
                bad.append("a segment is writable and executable: " + line.strip())
        elif "E" in rights:
            bad.append("the stack is executable: " + line.strip())
    if loads == 0:
        bad.append("no segment is loaded")
    undefined = run(["nm", "-u", elf]).stdout.split()
    if undefined:
        bad.append("undefined: " + " ".join(undefined))
    if bad:
        fail("the image", bad)
    return f"{loads} segments"


def check_stack(context):
    """the deepest path fits the stacks of include/layout.h"""
    elf = context.build / "keyhole.elf"
    su_files = sorted((context.build / "obj").rglob("*.su"))
    if not elf.is_file() or not su_files:
        fail("no image or no .su files: make all")
    names = pagetables.layout()
    limit = names["PRIVATE_STACK_START"] - names["PRIVATE_STACK"]
    ist_limit = names["PRIVATE_IST_PAGES"] * 4096
    rules = context.rules["stack"]
    frames, unbounded = stack.read_frames(su_files)
    if unbounded:
        fail("frames without a bound", unbounded)
    try:
        functions = stack.read_calls(elf, frames)
        for f in functions.values():
            f.frame = rules.get("frames", {}).get(f.name, f.frame)
        stack.resolve_indirect(functions, rules.get("indirect", {}))
        deepest = stack.depths(functions, rules.get("recursion", {}))
    except stack.StackError as e:
        raise Failed(str(e)) from None
    interrupt = [re.compile(p) for p in rules.get("interrupt_roots", [])]
    worst, worst_ist, bad = (0, []), (0, []), []
    for root in stack.roots(functions):
        depth, path = deepest[root]
        on_ist = any(p.fullmatch(functions[root].name) for p in interrupt)
        if on_ist:
            worst_ist = max(worst_ist, (depth, path))
        else:
            worst = max(worst, (depth, path))
        if depth > (ist_limit if on_ist else limit):
            bad.append(f"{depth} of {ist_limit if on_ist else limit} bytes: " + " > ".join(path))
    report = context.build / "stack-depth.txt"
    report.write_text("".join(
        f"{what}: {depth} of {of} bytes\n" + "".join(f"    {step}\n" for step in path)
        for what, (depth, path), of in (("main stack", worst, limit),
                                        ("interrupt stack", worst_ist, ist_limit))))
    if bad:
        fail("too deep", bad)
    return (f"{worst[0]} of {limit} bytes, {worst_ist[0]} of {ist_limit} on interrupt stacks; "
            f"see {report.relative_to(ROOT)}")


def check_text(context):
    """no leftovers: FIXME, XXX, HACK, a TODO that names nothing; no stray white space"""
    bad = []
    mark = re.compile(r"\b(FIXME|XXX|HACK|WIP)\b|\bTODO\b(?!: \S+ \S+)")
    sources = files((*C_FOLDERS, "tests", "docs", ".ci"),
                    (".c", ".h", ".S", ".py", ".md", ".ld", ".mk", ".toml", ".sh", ""))
    sources += [Path(p) for p in ("Makefile", "linker.ld", "README.md", "CAVEATS.md",
                                  "CONTRIBUTING.md") if (ROOT / p).is_file()]
    own = Path("tools/keyhole/checks.py")
    for source in dict.fromkeys(sources):
        try:
            text = (ROOT / source).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            bad.append(f"{source}: is not UTF-8")
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if source != own and (m := mark.search(line)):
                bad.append(f"{source}:{number}: {m[0]}")
            if line != line.rstrip():
                bad.append(f"{source}:{number}: white space at its end")
        if text and not text.endswith("\n"):
            bad.append(f"{source}: no line end at its end")
    if bad:
        fail("leftovers", bad)
    return f"{len(sources)} files"


def check_scripts(context):
    """shellcheck on shell scripts; Python scripts compile"""
    need("shellcheck", "shellcheck")
    shell, python = [], []
    for path in files(("tools", ".ci", "tests"), ("", ".sh", ".py")):
        head = (ROOT / path).read_bytes()[:64].split(b"\n", 1)[0]
        if path.suffix == ".py" or b"python3" in head:
            python.append(path)
        elif re.match(rb"#! ?/(usr/)?bin/(env )?(ba|da)?sh", head):
            shell.append(path)
    bad = []
    if shell:
        done = run(["shellcheck", "-x", *shell])
        if done.returncode != 0:
            bad += done.stdout.splitlines()
    for path in python:
        try:
            compile((ROOT / path).read_bytes(), str(path), "exec")
        except SyntaxError as e:
            bad.append(f"{path}:{e.lineno}: {e.msg}")
    if bad:
        fail("scripts", bad)
    return f"{len(shell)} shell, {len(python)} Python"


COMMANDS = {"CONSOLEIO": "console_io", "EVTCHNOP": "event_channel_op", "GNTTABOP": "grant_table_op",
            "HVMOP": "hvm_op", "SCHEDOP": "sched_op", "VCPUOP": "vcpu_op",
            "XENMEM": "memory_op", "XENVER": "xen_version"}


def abi_errors(abi, headers, code):
    """What docs/abi.md, section 13, says of calls and commands, against headers and kernel/."""
    section = abi.split("\n## 13. ")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in section.splitlines() if line.startswith("| ")]
    calls = {(r[1], r[0]): r[2] for r in rows if r[0].isdigit()}
    commands = {r[0]: r for r in rows if len(r) == 3 and not r[0].isdigit()}
    there = set(re.findall(r"\[__HYPERVISOR_(\w+)\]", code))
    bad = []
    numbers = [n for n in re.findall(r"#define __HYPERVISOR_(\w+)\s+(\d+)", headers)
               if not n[0].startswith("arch_")]
    for name, number in numbers:
        row = calls.pop((name, number), None)
        if row is None:
            bad.append(f"no row for call {number}, {name}")
        elif row.startswith("no") == (name in there):
            bad.append(f"call {number}, {name}, says: {row}")
    bad += [f"there is no call {number}, {name}" for name, number in calls]
    for prefix, name, number in re.findall(r"#define ([A-Z]+)_([a-z]\w*)\s+(\d+)\b", headers):
        call = COMMANDS.get(prefix)
        if call is None or name.startswith("resource_"):
            continue
        row = commands.get(call, ["", "", ""])
        given, refused = (bool(re.search(rf"\b{number} {name}\b", cell)) for cell in row[1:])
        handled = re.search(rf"\b{prefix}_{name}\b", code) is not None
        if given + refused != 1 or (given and not handled) or (refused and handled
                                                               and not re.search(
                                                                   rf"{name}\b[^,]*: -E(?!NOSYS)",
                                                                   row[2])):
            bad.append(f"{call}: command {number}, {name}, is "
                       f"{'' if handled else 'not '}in kernel/, and the table says otherwise")
    return bad


def check_abi(context):
    """the tables of calls and commands in docs/abi.md say what there is"""
    headers = "\n".join((ROOT / h).read_text(encoding="utf-8")
                        for h in files(("include/public",), (".h",)))
    code = "\n".join(code_of(c) for c in files(("kernel",), (".c",)))
    bad = abi_errors((ROOT / "docs/abi.md").read_text(encoding="utf-8"), headers, code)
    if bad:
        fail("docs/abi.md, section 13", bad)
    return ""


ALL = [("build", check_build), ("format", check_format), ("cppcheck", check_cppcheck),
       ("headers", check_headers), ("layers", check_layers), ("writers", check_writers),
       ("forbidden", check_forbidden), ("image", check_image), ("stack", check_stack),
       ("text", check_text), ("scripts", check_scripts), ("abi", check_abi)]
