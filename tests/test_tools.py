"""The tools themselves: what a person types, what an emulator printed, what a machine can run."""

import os
import pty
import stat
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from conftest import ROOT
from keyhole import checks, console, guestspec, host, iso, keys, pagetables, stack, tap

ELF64 = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 62)


# --- the terminal's keys -------------------------------------------------------------------------------


@pytest.fixture
def terminal():
    """Both ends of one: the person's, and the program's."""
    ends = pty.openpty()
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.mark.parametrize("typed, read", [
    ([b"ls\r", b"\x03\x1a\x11"], [b"ls\r", b"\x03\x1a\x11"]),
    ([b"\x01\x01\x01", b"a"], [b"\x01\x01\x01", b"a"]),
    ([b"\x01", b"ax"], [b"\x01", b"ax"]),
    ([b"a\x01x"], [None]),
    ([b"\x01", b"x"], [b"\x01", None]),
    ([b"\x01", b"\x01", b"xy"], [b"\x01", b"\x01", None]),
])
def test_keys(terminal, typed, read):
    person, program = terminal
    before = termios.tcgetattr(program)
    got = []
    with keys.Keys(got.append, True, program) as forward:
        forward()
        for text in typed:
            os.write(person, text)
            if text == typed[-1] and read[-1] is None:
                with pytest.raises(keys.Quit):
                    forward()
                got.append(None)
            else:
                forward()
    assert got == read
    assert termios.tcgetattr(program) == before


@pytest.mark.parametrize("every_key", [False, True])
def test_keys_restore_the_terminal(terminal, every_key):
    before = termios.tcgetattr(terminal[1])
    with pytest.raises(RuntimeError), keys.Keys(print, every_key, terminal[1]):
        flags = termios.tcgetattr(terminal[1])[keys.LFLAG]
        assert not flags & termios.ECHO
        assert bool(flags & termios.ISIG) != every_key
        raise RuntimeError
    assert termios.tcgetattr(terminal[1]) == before


# --- guest specifications ------------------------------------------------------------------------------


@pytest.fixture
def elf(tmp_path):
    path = tmp_path / "a.elf"
    path.write_bytes(ELF64)
    return path


@pytest.mark.parametrize("text, path, options", [
    ("a.elf:name=a,mem=32M", "a.elf", ["name=a", "mem=32M"]),
    ("a.elf", "a.elf", []),
    ('a.elf:cmdline="x y",name=b', "a.elf", ["cmdline=x y", "name=b"]),
    ("a.elf:'cmdline=x, y'", "a.elf", ["cmdline=x, y"]),
    (r"a.elf:cmdline=x\,y\ z", "a.elf", ["cmdline=x,y z"]),
    ("a.elf:cmdline=root=/dev/x:1,name=c", "a.elf", ["cmdline=root=/dev/x:1", "name=c"]),
    (r'"dir with space/a\"b.elf":data', 'dir with space/a"b.elf', ["data"]),
    (":name=b,image=a", None, ["name=b", "image=a"]),
])
def test_spec_parse(text, path, options):
    spec = guestspec.parse_one(text)
    assert (spec.path and str(spec.path)) == path
    assert spec.options == options


def test_spec_list():
    specs = guestspec.parse_list('a.elf:name=a,cmdline="x y"  b.elf:name=b\nc:data')
    assert [s.options for s in specs] == [["name=a", "cmdline=x y"], ["name=b"], ["data"]]


def test_spec_default_names(elf):
    specs = guestspec.check_all([guestspec.Spec(elf), guestspec.Spec(elf, ["mem=16M"])])
    assert [s.name for s in specs] == ["a", "a2"]


@pytest.mark.parametrize("text, words", [
    ("", "no guest"),
    ("{elf}:nane=a", 'unknown option "nane=a"'),
    ("{elf}:name", 'unknown option "name"'),
    ("{elf}:name=a {elf}:name=a", 'two modules are named "a"'),
    ("{elf}:mem=lots", "mem=lots is no size"),
    ("{elf}:mem=0", "mem=0 is no size"),
    ("{elf}:vcpus=0", "vcpus=0"),
    ("{elf}:name=a b", "No such file"),
    ("{elf}:name=a/b", "a name is of letters"),
    ("{elf}:name=a,name=b", "name= is given twice"),
    ("{elf}:priv=nobody", 'there is no guest "nobody"'),
    ("{elf}:module=f", 'there is no data file "f"'),
    (":name=b", "neither a file nor image="),
    (":name=b,image=c {elf}", 'there is no guest "c"'),
    ("missing.elf", "missing.elf: No such file"),
    ("{elf}:data", "no guest to run"),
    ('{elf}:cmdline="x', "never closed"),
    ("{elf}:name=a\\", "ends with a backslash"),
])
def test_spec_errors(elf, text, words):
    with pytest.raises(guestspec.SpecError, match="(?i)" + "".join(
            "\\" + c if not c.isalnum() else c for c in words)):
        guestspec.check_all(guestspec.parse_list(text.replace("{elf}", str(elf))))


def test_spec_wrong_files(tmp_path):
    text = tmp_path / "t"
    text.write_text("hello")
    with pytest.raises(guestspec.SpecError, match="no ELF file"):
        guestspec.check_all([guestspec.Spec(text)])
    text.write_bytes(b"MZ" + bytes(0x200) + b"HdrS")
    with pytest.raises(guestspec.SpecError, match="bzImage.*extract-vmlinux"):
        guestspec.check_all([guestspec.Spec(text)])
    header = struct.pack("<III", 0x1badb002, 0x10003, -(0x1badb002 + 0x10003) & 0xffffffff)
    text.write_bytes(bytes(64) + header + bytes(20))
    guestspec.check_all([guestspec.Spec(text)])
    text.write_bytes(bytes(62) + header + bytes(20))  # not aligned
    with pytest.raises(guestspec.SpecError, match="no multiboot image"):
        guestspec.check_all([guestspec.Spec(text)])
    arm = tmp_path / "arm"
    arm.write_bytes(ELF64[:18] + struct.pack("<H", 183))
    with pytest.raises(guestspec.SpecError, match="another CPU"):
        guestspec.check_all([guestspec.Spec(arm)])


def test_grub_config_quotes():
    text = iso.grub_config(["a=b c"], [("/boot/guests/0-a", "a", ["cmdline=it's $x"])])
    assert "multiboot2 /boot/keyhole.elf 'a=b c'\n" in text
    assert "module2 /boot/guests/0-a 'a' 'cmdline=it'\"'\"'s $x'\n" in text


# --- TAP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines, good", [
    (["1..2", "ok 1 - a", "ok 2 - b"], True),
    (["ok 1", "ok 2", "1..2"], True),
    (["1..1", "ok 1 - a # SKIP none here"], True),
    (["1..0 # skip not on this CPU"], True),
    (["1..2", "ok 1 - a"], False),
    (["ok 1 - a"], False),
    ([], False),
    (["1..0"], False),
    (["1..1", "not ok 1 - a"], False),
    (["1..1", "not ok 1 - a # todo later"], False),
    (["1..1", "ok 1", "ok 2"], False),
    (["1..2", "ok 2", "ok 1"], False),
    (["1..1", "ok 1", "1..1"], False),
    (["1..1", "ok 1", "Bail out! no more"], False),
    (["hello", "1..1", "okay", "ok 1"], True),
])
def test_tap(lines, good):
    report = tap.parse(lines)
    assert report.passed is good
    assert bool(report.problems()) is not good


def test_tap_skip_reason():
    report = tap.parse(["1..1", "ok 1 - pku # SKIP this CPU has none"])
    assert (report.results[0].status, report.results[0].why) == ("skipped", "this CPU has none")


# --- the console ---------------------------------------------------------------------------------------

RUN = """\x1b[2J  Booting `Keyhole'\r
keyhole: started\r
[a] 1..1\r
[b] hello [a] ok\r
[a] ok 1 - fine\r
keyhole: guest d1 "a": SHUTDOWN_poweroff\r
keyhole: audit: cpu0 ok, 900 pages mapped of 65536, 0 of any guest\r
keyhole: free: mfn 300-4ff\r
keyhole: end: 2 guests, 2 ok, 0 failed, status 0\r
"""


def test_console():
    log = console.parse(RUN)
    assert log.problems() == []
    assert log.guests == {"a": ["1..1", "ok 1 - fine"], "b": ["hello [a] ok"]}
    assert log.guest_ends == {"a": "SHUTDOWN_poweroff"}
    assert log.audits == [(0, "ok", 900, 65536, 0)]
    assert log.free == [(0x300, 0x4FF)]
    assert log.end == (2, 2, 0, 0)
    assert log.guest_report("a").passed
    assert not log.guest_report("b").passed


def test_console_cut_lines():
    text = "[a] ok 1 - o\\\nkeyhole: x\n[b] hel\\\n[a] ne, and \\\nkeyhole: y\n[a] more\n[b] lo\n"
    text += "[a] a path\\\n[a] itself\n[b] never\\\nkeyhole: z\n"
    log = console.parse(text)
    assert log.guests == {"a": ["ok 1 - one, and more", "a path\\", "itself"], "b": ["hello", "never"]}
    assert log.host == ["x", "y", "z"]


@pytest.mark.parametrize("old, new, words", [
    ("status 0", "status 1", "status 1"),
    ("cpu0 ok", "cpu0 FAILED", "audit"),
    ("0 of any guest", "3 of any guest", "3 pages of guests"),
    ("keyhole: end", "keyhole: en", "never came to its end"),
    ("keyhole: started", "keyhole: PANIC: out of frames", "panicked: out of frames"),
])
def test_console_problems(old, new, words):
    assert words in "\n".join(console.parse(RUN.replace(old, new)).problems())


# --- what this machine can run -------------------------------------------------------------------------


def fake_root(path, *, vendor="GenuineIntel", flags="fpu vmx ept", nested="Y", dev=0o666, owner=None):
    """A made-up machine below `path`."""
    (path / "proc").mkdir()
    (path / "proc/cpuinfo").write_text(
        f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: Some CPU\nflags\t\t: {flags}\n\n")
    if nested is not None:
        (path / "sys/module/kvm_intel/parameters").mkdir(parents=True)
        (path / "sys/module/kvm_intel/parameters/nested").write_text(nested + "\n")
    (path / "dev").mkdir()
    if dev is not None:
        (path / "dev/kvm").touch()
        (path / "dev/kvm").chmod(dev)
    return path


def fake_host(path, probe=None, uid=12345, **rest):
    return host.Host(fake_root(path, **rest), probe=lambda _: probe, uid=uid, groups=[],
                     have={"qemu-system-x86_64", "bochs"})


def test_host_all_well(tmp_path):
    h = fake_host(tmp_path)
    assert h.kvm_obstacle() is None
    assert h.choose_runner()[0] == "kvm"


@pytest.mark.parametrize("how, cause, remedy", [
    ({"vendor": "AuthenticAMD", "flags": "svm"}, "AMD CPU", "Bochs"),
    ({"flags": "fpu"}, "no `vmx` in /proc/cpuinfo", "firmware"),
    ({"flags": "fpu hypervisor"}, "itself a virtual machine", "on its host"),
    ({"vendor": "", "flags": "fpu"}, "no Intel CPU", "Bochs"),
    ({"flags": "vmx"}, "without extended page tables", "Bochs"),
    ({"nested": None}, "kvm_intel is not loaded", "modprobe kvm_intel"),
    ({"nested": "N"}, "nested is N", "nested=1"),
    ({"nested": "0"}, "nested is 0", "nested=1"),
    ({"dev": None}, "does not exist", "modprobe"),
    ({"dev": 0o600}, "may not be opened", "usermod -aG kvm"),
    ({"probe": "KVM offers its guests no VMX"}, "offers its guests no VMX", "dmesg"),
])
def test_host_obstacles(tmp_path, how, cause, remedy):
    h = fake_host(tmp_path, **how)
    bad = [f for f in h.kvm_findings() if f.state == "no"]
    assert any(cause in f.cause and remedy in f.remedy for f in bad), [f.lines() for f in bad]
    assert h.kvm_obstacle()
    runner, why = h.choose_runner()
    assert runner == "bochs"
    assert bad[0].cause in why
    assert h.choose_runner("tcg")[0] == "tcg"


def test_host_wrong_runner(tmp_path):
    with pytest.raises(ValueError, match="kvm, bochs or tcg"):
        fake_host(tmp_path).choose_runner("xen")


def test_host_missing_programs(tmp_path):
    h = host.Host(fake_root(tmp_path), probe=lambda _: None, have=set())
    missing = {f.subject for f in h.tool_findings() if f.state == "no"}
    assert {"bochs", "grub-mkrescue", "UEFI for QEMU", "Bochs's BIOS"} <= missing
    assert h.kvm_obstacle() == "QEMU is missing"


def test_probe_of_no_kvm(tmp_path):
    plain = tmp_path / "kvm"
    assert "does not open" in host.probe_kvm(str(plain))
    plain.touch()
    assert "cannot make a virtual machine" in host.probe_kvm(str(plain))


def test_doctor_runs(tmp_path):
    fake_root(tmp_path, nested="N")
    done = subprocess.run([ROOT / "tools/doctor", "--root", tmp_path], text=True, check=False,
                          stdout=subprocess.PIPE, env={**os.environ, "RUNNER": ""})
    assert "remedy: with no virtual machine running" in done.stdout
    assert "`make run` will use RUNNER=bochs" in done.stdout.splitlines()[-1]


# --- installing packages -------------------------------------------------------------------------------


def run_deps(tmp_path, *, installed, uid="0", sudo=False, first_install_fails=False):
    """tools/deps with programs of our own for dpkg-query, id, sudo and apt-get, which only tell."""
    programs = tmp_path / "bin"
    programs.mkdir()
    lines = "\\n".join(f"ii  {p} " for p in installed)
    scripts = {"dpkg-query": f"printf '{lines}\\n'", "id": f"echo {uid}",
               "apt-get": f'echo "apt-get $*" >> {tmp_path}/apt; case $1 in install) '
                          + (f"[ -e {tmp_path}/lists ];;" if first_install_fails else "true;;")
                          + f" update) touch {tmp_path}/lists;; esac"}
    scripts["sudo"] = 'shift; exec "$@"' if sudo else "exit 1"
    for name, body in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run([ROOT / "tools/deps"], text=True, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)})
    apt = tmp_path / "apt"
    return done.returncode, done.stdout, apt.read_text().splitlines() if apt.exists() else []


PACKAGES = host.package_names(ROOT / "tools/packages.txt")


def test_deps_nothing_missing(tmp_path):
    assert run_deps(tmp_path, installed=PACKAGES) == (0, "", [])


@pytest.mark.parametrize("uid, sudo", [("0", False), ("1000", True)])
def test_deps_installs(tmp_path, uid, sudo):
    status, _, apt = run_deps(tmp_path, installed=PACKAGES[2:], uid=uid, sudo=sudo)
    assert status == 0
    assert apt == [f"apt-get install -y --no-install-recommends {PACKAGES[0]} {PACKAGES[1]}"]


def test_deps_updates_lists_when_needed(tmp_path):
    status, _, apt = run_deps(tmp_path, installed=PACKAGES[1:], first_install_fails=True)
    assert status == 0
    assert [a.split()[1] for a in apt] == ["install", "update", "install"]


def test_deps_without_rights(tmp_path):
    status, text, apt = run_deps(tmp_path, installed=PACKAGES[1:], uid="1000")
    assert (status, apt) == (1, [])
    command = [line for line in text.splitlines() if line.startswith("    ")]
    assert len(command) == 1 and f"apt-get install -y --no-install-recommends {PACKAGES[0]}" in command[0]


# --- page tables from outside --------------------------------------------------------------------------

P, W, NX, LARGE = pagetables.PRESENT, pagetables.WRITE, pagetables.NX, pagetables.LARGE
NAMES = pagetables.layout()
IMAGE = NAMES["LAYOUT_IMAGE"]
POOL = NAMES["LAYOUT_POOL"]


def tables(*mappings):
    """Physical memory whose tables from 0x1000 map (va, entry of the last level)."""
    memory, next_table = bytearray(64 * 4096), 0x2000

    def put(table, index, value):
        struct.pack_into("<Q", memory, table + 8 * index, value)

    for va, entry in mappings:
        table = 0x1000
        for level, shift in enumerate(pagetables.LEVEL_SHIFT):
            index = va >> shift & 511
            if level == 3 or (level == 2 and entry & LARGE):
                put(table, index, entry)
                break
            old = struct.unpack_from("<Q", memory, table + 8 * index)[0]
            if not old:
                old, next_table = next_table | P | W, next_table + 0x1000
                put(table, index, old)
            table = old & pagetables.ADDRESS
    return pagetables.walk(lambda address, length: bytes(memory[address:address + length]), 0x1000)


def test_walk():
    leaves = tables((IMAGE + 0x200000, 0x200000 | P), (POOL + 0x400000, 0x400000 | P | W | NX | LARGE))
    assert [(x.va, x.pa, x.size, x.write, x.execute) for x in leaves] == [
        (POOL + 0x400000, 0x400000, 0x200000, True, False),
        (IMAGE + 0x200000, 0x200000, 0x1000, False, True)]
    assert pagetables.problems(leaves, NAMES, [(0x1000, 0x2000)]) == []


@pytest.mark.parametrize("va, entry, words", [
    (IMAGE + 0x200000, 0x200000 | P | W, "writable and executable: "),
    (0x200000, 0x200000 | P | NX, "one to one"),
    (IMAGE + 0x200000, 0x201000 | P | NX, "not the image"),
    (POOL + 0x5000, 0x6000 | P | W | NX, "another frame's place"),
    (POOL + 0x5000, 0x5000 | P, "executable outside the image"),
    (NAMES["LAYOUT_VMAP"], 0x777000 | P | NX, "free range"),
    (0x12345000, 0x5000 | P | NX, "outside every region"),
])
def test_forbidden_mappings(va, entry, words):
    found = pagetables.problems(tables((va, entry)), NAMES, [(0x777, 0x777)])
    assert any(words in line for line in found), found


def test_aliases_writable_and_executable():
    leaves = tables((IMAGE + 0x5000, 0x5000 | P), (POOL + 0x5000, 0x5000 | P | W | NX))
    assert any("by another" in line for line in pagetables.problems(leaves, NAMES, []))


# --- rules ---------------------------------------------------------------------------------------------

RULES = checks.Context(Path("build")).rules


@pytest.mark.parametrize("name, include, good", [
    ("mm/frame.c", "mm/frame.h", True), ("mm/frame.c", "types.h", True),
    ("mm/frame.c", "public/errno.h", True), ("mm/frame.c", "vmx/vmcs.h", False),
    ("mm/frame.c", "kernel/domain.h", False), ("vmx/ept.c", "mm/pool.h", True),
    ("vmx/ept.c", "kernel/trap.h", False), ("kernel/trap.c", "vmx/vmx.h", True),
    ("kernel/trap.c", "drivers/uart.h", True), ("drivers/uart.c", "vmx/vmcs.h", False),
    ("include/mm/frame.h", "vmx/vmcs.h", False), ("include/types.h", "vmx/vmx.h", False),
    ("guest-tests/hello/main.c", "mm/frame.h", False),
    ("guest-tests/hello/main.c", "public/xen.h", True),
    ("include/public/hvm/start_info.h", "../base.h", True),
    ("include/public/base.h", "mm/frame.h", False),
    ("include/kernel/domain.h", "../types.h", True), ("include/mm/frame.h", "../vmx/vmx.h", False),
    ("mm/frame.c", "../vmx/local.h", False), ("mm/frame.c", "local.h", True),
])
def test_layer_rule(name, include, good):
    bad = checks.layer_errors(RULES["layers"], name, f'#include <stddef.h>\n#include "{include}"\n')
    assert (bad == []) is good, bad


def functions(**edges):
    made = {name: stack.Function(name, frame, True, set(calls.split()))
            for name, (frame, calls) in edges.items()}
    return made


def test_stack_depth():
    deepest = stack.depths(functions(a=(100, "b c"), b=(10, "d"), c=(50, ""), d=(60, "")), {})
    assert deepest["a"][0] == 100 + 10 + 60 + 3 * stack.RETURN_ADDRESS


def test_stack_recursion_needs_a_bound():
    made = functions(a=(100, "b"), b=(20, "c"), c=(30, "b"))
    with pytest.raises(stack.StackError, match="b -> c"):
        stack.depths(made, {})
    deepest = stack.depths(made, {"b": 4})
    assert deepest["a"][0] == 100 + 8 + 4 * (20 + 30 + 16)


def test_stack_indirect_must_be_listed():
    made = functions(a=(8, ""), handler_x=(80, ""))
    made["a"].indirect = True
    with pytest.raises(stack.StackError, match="through a pointer"):
        stack.resolve_indirect(made, {})
    with pytest.raises(stack.StackError, match="nothing is named"):
        stack.resolve_indirect(made, {"a": ["nowhere"]})
    stack.resolve_indirect(made, {"a": ["handler_.*"]})
    assert made["a"].calls == {"handler_x"}


def test_scripts_are_executable():
    for name in ("run", "test", "check", "deps", "doctor", "mkiso", "unit", "gdb"):
        assert os.stat(ROOT / "tools" / name).st_mode & stat.S_IXUSR, name


def test_image_ignores_other_grub_platforms(tmp_path, monkeypatch):
    """Xen's platforms, where they are installed, have no multiboot2 module."""
    for name in iso.GRUB_PLATFORMS:
        (tmp_path / name).symlink_to(iso.GRUB_DIR / name)
    (tmp_path / "i386-xen").mkdir()
    (tmp_path / "i386-xen/moddep.lst").write_text("")
    monkeypatch.setattr(iso, "GRUB_DIR", tmp_path)
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"\x7fELF")
    iso.make(tmp_path / "image.iso", kernel, [], [])
    assert (tmp_path / "image.iso").stat().st_size > 1 << 20


# --- the ABI's tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("old, new, says", [
    ("| 24 | vcpu_op | yes |", "", "no row for call 24"),
    ("| 24 | vcpu_op | yes |", "| 24 | vcpu_op | no |", "call 24, vcpu_op, says: no"),
    ("| 36 | domctl | no", "| 36 | domctl | yes", "call 36, domctl, says"),
    ("| 42 | hypfs_op |", "| 43 | hypfs_op |", "there is no call 43"),
    ("6 watchdog |", "|", "command 6, watchdog"),
    ("11 exchange, ", "", "command 11, exchange"),
    ("14 maximum_gpfn, ", "", "command 14, maximum_gpfn"),
    ("28 acquire_resource (grant tables) | 0", "| 28 acquire_resource, 0", "command 28, acquire"),
    ("7 pin_override: -EPERM", "7 pin_override: -ENOSYS", "command 7, pin_override"),
])
def test_abi_tables_are_held_against_the_code(old, new, says):
    abi = (ROOT / "docs/abi.md").read_text()
    headers = "\n".join(h.read_text() for h in (ROOT / "include/public").rglob("*.h"))
    code = "\n".join(c.read_text() for c in (ROOT / "kernel").glob("*.c"))
    assert checks.abi_errors(abi, headers, code) == []
    assert abi.count(old) == 1
    assert any(says in e for e in checks.abi_errors(abi.replace(old, new), headers, code))
