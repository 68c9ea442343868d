"""Mutation builds: one mistake each (include/mutant.h), and whether its named test notices.

A mutant's build takes the objects of the test build but for those whose sources, headers included,
hold the mistake, and so costs a few seconds.
"""

import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, console, guesttest, iso, machine, unit

LAYERS = ("boot", "kernel", "mm", "vmx", "drivers", "selftest")
# Quick ones, each of another kind: what `make test` runs first, and QUICK=1 alone.
KINDS = ("unit", "selftest", "guests")


class MutantError(RuntimeError):
    """A mutant could not be built or run; the message says why."""


@dataclass
class Mutant:
    name: str
    what: str
    kind: str  # one of KINDS
    killer: object  # the program's, or the guest test's name
    result: str | None  # the text of the result that must fail
    survives: str | None

    @property
    def by(self):
        where = {"unit": self.killer, "selftest": "the self-test", "guests": f"guests {self.killer}"}
        return where[self.kind]


def load(path=ROOT / "tests/mutants.toml"):
    mutants = []
    for m in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]:
        kind = next(k for k in KINDS if k in m)
        if ("result" in m) == ("survives" in m):
            raise MutantError(f"{m['name']}: either a result, or why it survives")
        mutants.append(Mutant(m["name"], m["what"], kind, m[kind], m.get("result"),
                              m.get("survives")))
    return mutants


def places():
    """name -> files that hold MUTANT(name)."""
    found = {}
    for folder in (*LAYERS, "include"):
        for path in sorted((ROOT / folder).rglob("*.[chS]")):
            for name in re.findall(r"\bMUTANT\(([A-Z_]+)\)", path.read_text(encoding="utf-8")):
                found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def _make(log, *arguments):
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "T", "BUILD", "GUESTS")}
    with open(log, "wb") as out:
        done = subprocess.run(["make", "-s", "--no-print-directory", *arguments], cwd=ROOT,
                              stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                              check=False)
    if done.returncode != 0:
        tail = log.read_text(errors="replace").splitlines()[-20:]
        raise MutantError("\n".join(["make " + " ".join(arguments) + " failed:", *tail]))


def _copy_objects(base, target, mistaken):
    """The test build's objects, without those that depend on a file with the mistake."""
    for layer in LAYERS:
        (target / layer).mkdir(parents=True)
        for depends in (base / layer).glob("*.d"):
            words = set(depends.read_text().replace("\\\n", " ").replace(":", " ").split())
            if words & mistaken:
                continue
            shutil.copy2(depends.with_suffix(".o"), target / layer)


def build(mutant, build_dir):
    """Returns the folder with the mutant's program or image."""
    mistaken = places().get(mutant.name)
    if not mistaken:
        raise MutantError(f"no MUTANT({mutant.name}) in the source")
    folder = build_dir / "mutants" / mutant.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    relative = os.path.relpath(folder, ROOT)
    common = [f"BUILD={relative}", f"MUTANT={mutant.name}"]
    if mutant.kind == "unit":
        _make(folder / "build.log", *common, f"{relative}/unit/{mutant.killer}")
    else:
        _copy_objects(build_dir / "test/obj", folder / "obj", mistaken)
        _make(folder / "build.log", *common, "CONFIG_TEST=1", "all")
    return folder


class Failures:
    """Collects the results of a run, as guesttest.judge() hands them on: which failed."""

    def __init__(self):
        self.failed = []
        self.count = 0

    def check(self, good, text, why=""):
        self.count += 1
        if not good:
            self.failed.append(f"{text}: {why}" if why else text)
        return good

    def add_report(self, prefix, report):
        self.count += len(report.results)
        self.failed += [f"{prefix}: {r.text}" for r in report.results if r.status == "failed"]
        self.failed += [f"{prefix}: {e}" for e in report.errors]


def run(mutant, folder, build_dir):
    """Runs the killer on a build; returns its Failures."""
    failures = Failures()
    log_dir = folder / "logs"
    if mutant.kind == "unit":
        log_dir.mkdir(exist_ok=True)
        failures.add_report(mutant.killer, unit.run(folder / "unit" / mutant.killer, log_dir, 120))
        return failures
    image = folder / "boot.iso"
    if mutant.kind == "selftest":
        iso.make(image, folder / "keyhole.elf", ["selftest=only"], [])
        with machine.Qemu(image, log_dir) as box:
            box.run(60)
            log = console.parse(box.text)
        failures.check(log.end is not None and not log.panic, "the boot comes to its end",
                       log.panic or "")
        failures.add_report("self-test", log.host_report())
        return failures
    test = guesttest.load(ROOT / "guest-tests" / mutant.killer / "test.toml", build_dir)
    cpus = max(test.cpus) if mutant.name.endswith("_SMP") else 1
    iso.make(image, folder / "keyhole.elf", [], [g.spec for g in test.guests])
    with machine.Bochs(image, log_dir, model=machine.BOCHS_SMP_CPU, mem=test.mem, cpus=cpus) as box:
        box.run(20 + test.seconds)
        log = console.parse(box.text)
    failures.check(log.end is not None and not log.panic, "the boot comes to its end",
                   log.panic or "")
    guesttest.judge(guesttest.Boot([test]), log, failures)
    return failures


def verdict(mutant, failures):
    """(good, one line): whether the outcome is what tests/mutants.toml says."""
    noticed = [f for f in failures.failed if mutant.result is None or mutant.result in f]
    if mutant.survives:
        if failures.failed:
            return False, f"{mutant.name}: killed, though listed as a survivor: {noticed[0]}"
        return True, f"{mutant.name}: survives, as listed: {mutant.survives}"
    if noticed:
        return True, f"{mutant.name}: killed by {mutant.by}: {mutant.result}"
    others = "; ".join(failures.failed[:3]) or f"all {failures.count} results pass"
    return False, f"{mutant.name}: SURVIVES {mutant.by} ({mutant.what}): {others}"
