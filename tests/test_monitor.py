"""What is typed on the serial console: to guests, and to the monitor, while guests run."""

import re
import time

import pytest
from conftest import BUILD
from keyhole import console, guestspec, iso, machine

SWITCH = "\x01\x01\x01"
MACHINES = [(machine.BOCHS_CPU, 1), (machine.BOCHS_OLD_CPU, 2), (machine.BOCHS_SMP_CPU, 4)]
ROLES = ("busy", "idle", "wild", "circle", "hole")
REGISTERS = r"  rip [0-9a-f]{16} rflags"
FRAME = r"  #1 0000000000111111"


class Console:
    """A running machine whose console is typed to."""

    def __init__(self, box):
        self.box = box
        self.seen = 0

    def expect(self, pattern, seconds=100):
        """Waits for a line of the hypervisor's with that; returns the match. Later looks begin behind
        it."""
        wanted = re.compile(r"^keyhole: " + pattern + r"[^\n]*\n", re.M)
        end = time.monotonic() + seconds
        while True:
            text = console.clean(self.box.text)
            if m := wanted.search(text, self.seen):
                self.seen = m.end()
                return m
            assert time.monotonic() < end, f"no {pattern!r} in: {text[self.seen:][-1500:]}"
            self.box.run(0.03, until=None)

    def ask(self, *commands):
        """Types lines, each when the one before it has been answered: pairs of a line and a pattern, or
        several, in order. (A line that is typed while the processor is busy may lose characters.)"""
        matches = []
        for line, patterns in commands:
            self.box.type(line + "\r")
            matches += [self.expect(p) for p in ([patterns] if isinstance(patterns, str) else patterns)]
        return matches

    def ask_until(self, line, pattern):
        """The same line, until a line of the answer has that."""
        number, wanted = pattern.split(" ", 1)
        while not re.search(wanted, self.ask((line, f"{number} .*"))[0][0]):
            self.box.run(0.2, until=None)

    def settle(self):
        """Waits until nothing is printed any more, and forgets all that was."""
        length = -1
        while length != len(self.box.text):
            length = len(self.box.text)
            self.box.run(1.5, until=None)
        self.seen = len(console.clean(self.box.text))

    def switch_to(self, where):
        for _ in range(20):
            self.box.type(SWITCH)
            if self.expect("input goes to (guest d[0-9]+|the monitor)")[1] == where:
                return
        raise AssertionError(f"input never goes to {where}")


def boot(tag, model, cpus, log_dir, words=()):
    image = BUILD / f"monitor-{tag}.iso"
    specs = guestspec.check_all(guestspec.parse_list("\n".join(
        f"{BUILD}/guests/monitored.elf:name={role},mem=4M,cmdline={role}" for role in ROLES)))
    iso.make(image, BUILD / "test/keyhole.elf", list(words), specs)
    return machine.Bochs(image, log_dir, model=model, cpus=cpus, typing=True)


def try_input(at):
    """Where input goes, whatever is typed."""
    at.expect('input goes to guest d1 "busy"', seconds=200)
    for where in ("guest d2", "guest d3", "guest d4", "guest d5", "the monitor", "guest d1"):
        at.box.type(SWITCH)
        at.expect(f"input goes to {where}")
    # Two are not three, and are no part of a later three.
    at.box.type("\x01\x01x\x01\x01y" + SWITCH)
    at.expect("input goes to guest d2")
    at.switch_to("the monitor")
    at.ask(("nonsense", "no such command"), ("pause", "something is missing"),
           ("pause 1 2", "that is more"), ("pause 99999999999999999999", "that is no number"),
           ("pause 0", "pause 0: there is no such guest"), ("regs 4294967297", "there is no guest"),
           ("hexx\x08\x7f\x7f\x08\x08\x08help", r"  exits"))


def try_floods(at):
    """More than anybody can type."""
    # A flood may lose characters, but nothing else.
    at.box.type("\x01" * 1000 + "z" * 2000)
    at.settle()
    at.switch_to("the monitor")
    at.box.type("list " * 400 + "\r" * 50)
    at.expect("that is longer than any command")
    at.settle()


def try_looking(at, cpus):
    """What changes nothing."""
    at.ask(("list", [rf'd{n + 1} "{role}" running, 4096 KiB, weight 256, cap 0 %, [0-9]+ ms; .* cpu'
                     for n, role in enumerate(ROLES)]),
           ("cpus", [f"cpu{n}: APIC id {n}" for n in range(cpus)]),
           ("memory", [r"memory: [0-9]+ KiB of RAM", r" +20480 KiB  RAM of guests"]))
    at.ask(("regs 1", [REGISTERS, r"  tr "]), ("regs 2 0", REGISTERS), ("regs 2 1", "d2 has no vCPU 1"),
           ("backtrace 1", [r"d1v0: rip", FRAME, r"  #2 0000000000222222", r"  #3 0000000000333333"]),
           ("backtrace 2", r"d2v0: rip"))
    for guest in (3, 4, 5):  # the way ends there, without any harm
        at.ask((f"backtrace {guest}", [f"d{guest}v0: rip", FRAME]),
               (f"p2m {guest} 0x100", f"d{guest} gfn 0x100: mfn 0x[0-9a-f]+, rwx, RAM"))
    at.ask(("p2m 1 0xffffffffffffffff", "d1 gfn 0xf+: nothing"), ("p2m 1 0x1000000", "d1 .* nothing"),
           ("map", [r"audit: +pages", r"audit: +[0-9]+  of RAM on cpu0"]))
    at.ask(("audit", [f"audit: cpu{n} ok, .* 0 of any guest" for n in range(cpus)]))
    at.ask(("exits", "exits are counted while the trace is on"), ("trace on", "trace: on"))
    at.ask(("regs 1", REGISTERS), ("exits", r"d[1-5] +[1-9][0-9]*  .*, [0-9]+ ticks each"),
           ("trace", [f"cpu{n}: (the last|no) events" for n in range(cpus)]), ("trace off", "trace: off"))


def try_changes(at):
    """Guests that are paused, end, and come again."""
    at.ask(("pause 1", "pause 1: yes"), ("list", r'd1 "busy" paused'))
    at.ask(("regs 1", REGISTERS), ("backtrace 1", FRAME), ("list", r'd1 "busy" paused'),
           ("resume 1", "resume 1: yes"), ("list", r'd1 "busy" running'))
    # A slice is long in an emulator, and what follows takes many turns.
    at.ask(*((f"pause {n}", f"pause {n}: yes") for n in (1, 3, 4, 5)))
    at.ask(("pause 2", "pause 2: yes"), ("regs 2", REGISTERS), ("restart 2", "restart 2: yes"))
    at.ask(("destroy 3", "destroy 3: yes"))
    at.ask_until("list", "d2 .* running")
    at.ask_until("list", "d3 .* destroyed")
    at.ask(("regs 3", "there is no guest 3"), ("regs 2", REGISTERS), ("console 3", "there is no guest 3"),
           ("restart 3", "restart 3: yes"))
    at.ask_until("list", "d3 .* running")
    at.ask(("regs 3", REGISTERS), ("pause 3", "pause 3: yes"), ("console 5", "input goes to guest d5"))
    at.switch_to("the monitor")
    at.ask(("destroy 5", "destroy 5: yes"), ("resume 4", "resume 4: yes"))
    at.ask(*((f"destroy {n}", f"destroy {n}: yes") for n in (4, 1, 2)))
    at.box.type("destroy 3\r")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("model, cpus", MACHINES, ids=[f"{m}-{n}cpus" for m, n in MACHINES])
def test_monitor(model, cpus, log_dir):
    with boot(f"{model}-{cpus}", model, cpus, log_dir, ["restart=yes"]) as box:
        at = Console(box)
        try_input(at)
        if cpus == 1:
            try_floods(at)
        try_looking(at, cpus)
        try_changes(at)
        at.expect("end: ")
        log = console.parse(box.text)
        assert not log.problems()
        assert len(log.audits) >= 2 * cpus
