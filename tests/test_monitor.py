"""What is typed on the serial console: to guests, and to the monitor, while guests run."""

import re
import time

import pytest
from conftest import BUILD
from keyhole import console, guestspec, iso, machine

SWITCH = "\x01\x01\x01"
MACHINES = [(machine.BOCHS_CPU, 1), (machine.BOCHS_OLD_CPU, 2), (machine.BOCHS_CPU, 4)]
GUESTS = f"""{BUILD}/guests/monitored.elf:name=busy,mem=4M,cmdline=busy
{BUILD}/guests/monitored.elf:name=idle,mem=4M,cmdline=idle"""


class Console:
    """A running machine whose console is typed to."""

    def __init__(self, box):
        self.box = box
        self.seen = 0

    def expect(self, pattern, seconds=40):
        """Waits for a host's line with that; returns the match. Later looks begin behind it."""
        wanted = re.compile(r"^keyhole: " + pattern + r"[^\n]*\n", re.M)
        end = time.monotonic() + seconds
        while True:
            text = console.clean(self.box.text)
            if m := wanted.search(text, self.seen):
                self.seen = m.end()
                return m
            assert time.monotonic() < end, f"no {pattern!r} in: {text[self.seen:][-1500:]}"
            self.box.run(0.1, until=None)

    def ask(self, command, pattern, **more):
        self.box.type(command + "\n")
        return self.expect(pattern, **more)


def boot(tag, model, cpus, log_dir, guests=GUESTS, words=()):
    image = BUILD / f"monitor-{tag}.iso"
    specs = guestspec.check_all(guestspec.parse_list(guests))
    iso.make(image, BUILD / "test/keyhole.elf", list(words), specs)
    return machine.Bochs(image, log_dir, model=model, cpus=cpus, typing=True)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("model, cpus", MACHINES, ids=[f"{m}-{n}cpus" for m, n in MACHINES])
def test_input(model, cpus, log_dir):
    with boot(f"input-{model}-{cpus}", model, cpus, log_dir) as box:
        at = Console(box)
        at.expect('input goes to guest d1 "busy"')
        for where in ('guest d2 "idle"', "the monitor", 'guest d1 "busy"'):
            box.type(SWITCH)
            at.expect(f"input goes to {where}")
        # Two are not three, and are no part of a later three.
        box.type("\x01\x01x\x01\x01y" + SWITCH)
        at.expect('input goes to guest d2 "idle"')
        # A flood may lose characters, but nothing else.
        box.type("\x01" * 3000 + "z" * 5000)
        for _ in range(3):
            box.type("z" + SWITCH)
            at.expect("input goes to ")
