"""The guest tests' configurations (guest-tests/NAME/test.toml), grouped into boots.

    seconds = 20          the time limit of a boot with it
    alone = true          it needs a boot of its own (default: false)
    cmdline = ""          the hypervisor's command line; tests share a boot only if theirs is the same
    mem = 256             MiB the machine must have
    cpus = [1, 2]         on machines with so many processors (default: 1, 2 and 4; four emulated ones take four times
                          as long, and show no more of guests of one vCPU that have nothing to do with each other)
    once = true           with cpus = [1]: on one processor model only, which makes no difference (default: false)
    needs = ["pku"]       words for what the CPU must offer, see CPU_LACKS
    lines = ["regex"]     what the hypervisor must have printed (without `keyhole: `)

    [[guest]]
    file = "hello"        build/guests/hello.elf (default: the test's own name); "" with image=
    options = ["name=hello", "mem=8M"]
    end = "powered off"   regex for how the hypervisor reports its end (default: "powered off")
    tap = true            its output is TAP with a plan (default: true)

An entry with the option "data" is a file for other guests: it has no end and no output.

Guests of one test stay together and in order.
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from . import ROOT, guestspec

GUESTS_PER_BOOT = 6
MEM_PER_BOOT = 160  # MiB for guests in one boot, of a machine of 256
POWEROFF = "powered off"  # the hypervisor's words


class ConfigError(RuntimeError):
    """A test.toml cannot be used; the message says why."""


@dataclass
class Guest:
    spec: guestspec.Spec
    end: str = POWEROFF
    tap: bool = True

    @property
    def mem(self):
        """MiB, as far as test.toml says."""
        m = guestspec.SIZE.match(self.spec.get("mem") or "16M")
        return int(m[1], 0) * {"K": 1 / 1024, "M": 1, "G": 1024, "": 1 / (1 << 20)}[m[2]]


@dataclass
class GuestTest:
    name: str
    guests: list
    seconds: float = 30
    alone: bool = False
    cmdline: str = ""
    mem: int = 256
    needs: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    status: int | None = None  # what the hypervisor ends with; None: follows from the ends
    cpus: list = field(default_factory=lambda: [1, 2, 4])
    once: bool = False


@dataclass
class Boot:
    tests: list

    @property
    def name(self):
        return "+".join(t.name for t in self.tests)

    @property
    def guests(self):
        return [g for t in self.tests for g in t.guests]

    @property
    def seconds(self):
        return 20 + sum(t.seconds for t in self.tests)

    @property
    def mem(self):
        return max(t.mem for t in self.tests)

    @property
    def cmdline(self):
        return self.tests[0].cmdline


KNOWN = {"seconds", "alone", "cmdline", "mem", "needs", "lines", "guest", "status", "cpus", "once"}
KNOWN_GUEST = {"file", "options", "end", "tap"}


def load(path, build):
    """One test.toml."""
    name = path.parent.name
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as e:
        raise ConfigError(f"{path}: {e}") from None
    if unknown := set(data) - KNOWN:
        raise ConfigError(f"{path}: unknown: {', '.join(sorted(unknown))}")
    guests = []
    for entry in data.get("guest", [{}]):
        if unknown := set(entry) - KNOWN_GUEST:
            raise ConfigError(f"{path}: unknown in [[guest]]: {', '.join(sorted(unknown))}")
        file = entry.get("file", name)
        guest_file = Path(build) / "guests" / f"{file}.elf" if file else None
        options = list(entry.get("options", [f"name={name}"]))
        guests.append(Guest(guestspec.Spec(guest_file, options), entry.get("end", POWEROFF),
                            entry.get("tap", True)))
    return GuestTest(name, guests, data.get("seconds", 30), data.get("alone", False),
                     data.get("cmdline", ""), data.get("mem", 256), data.get("needs", []),
                     data.get("lines", []), data.get("status"), data.get("cpus", [1, 2, 4]),
                     data.get("once", False))


def load_all(build, root=ROOT):
    return [load(p, build) for p in sorted((root / "guest-tests").glob("*/test.toml"))]


def group(tests):
    """Boots: tests that need not be alone share one, as far as names, memory and number allow."""
    boots = []
    for test in tests:
        for boot in boots:
            if not test.alone and _fits(boot, test):
                boot.tests.append(test)
                break
        else:
            boots.append(Boot([test]))
    return boots


def _fits(boot, test):
    if any(t.alone for t in boot.tests) or boot.cmdline != test.cmdline or \
            (boot.tests[0].cpus, boot.tests[0].once) != (test.cpus, test.once):
        return False
    guests = boot.guests + test.guests
    names = [g.spec.name for g in guests]
    return (len(guests) <= GUESTS_PER_BOOT and len(set(names)) == len(names)
            and sum(g.mem for g in guests) <= MEM_PER_BOOT)


def judge(boot, log, results):
    """Hands each result of a boot (a console.Log) to results: check() and add_report()."""
    for test in boot.tests:
        for guest in test.guests:
            if guest.spec.is_data:
                continue
            name = guest.spec.name
            if guest.tap:
                results.add_report(name, log.guest_report(name))
            how = log.guest_ends.get(name)
            results.check(how is not None and re.search(guest.end, how), f"{name}: ends as it should",
                          f"wanted /{guest.end}/, got: {how or 'no report of its end'}")
        for wanted in test.lines:
            results.check(any(re.search(wanted, line) for line in log.host),
                          f"{test.name}: the hypervisor says /{wanted}/")
    results.check(log.panic is None, "the hypervisor does not panic", log.panic or "")
    audits_ok = log.audits and all(v == "ok" and of == 0 for _, v, _, _, of in log.audits)
    results.check(audits_ok, "the audit finds no page of a guest mapped",
                  str(log.audits) if log.audits else "no audit was printed")
    failing = sum(1 for g in boot.guests
                  if not g.spec.is_data and not re.search(g.end, POWEROFF))
    wanted_status = 1 if failing else 0
    given = [t.status for t in boot.tests if t.status is not None]
    wanted_status = given[0] if given else wanted_status
    results.check(log.status == wanted_status, f"the run ends with status {wanted_status}",
                  f"got {log.status}")
