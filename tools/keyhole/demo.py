"""The bundled demo: its guests (tools/demo.toml), and whether a run of it did what it should."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, guestspec


class DemoError(RuntimeError):
    """tools/demo.toml cannot be used; the message says why."""


@dataclass
class Demo:
    seconds: float
    guests: list
    expect: list

    def specs(self, build):
        """The guests as Specs, with their files in build/guests/."""
        return [guestspec.Spec(Path(build) / "guests" / f"{g['file']}.elf", list(g["options"]))
                for g in self.guests]

    def problems(self, log):
        """What the console.Log of a run lacks; empty if the demo did what it should."""
        bad = log.problems()
        for spec in self.specs("build"):
            if spec.name not in log.guests:
                bad.append(f'guest "{spec.name}" printed nothing')
            else:
                bad += [f'guest "{spec.name}": {p}' for p in log.guest_report(spec.name).problems()]
        if not log.audits:
            bad.append("no audit was printed")
        lines = log.host + [f"[{n}] {x}" for n, all_lines in log.guests.items() for x in all_lines]
        bad += [f"nothing matches /{e}/" for e in self.expect
                if not any(re.search(e, line) for line in lines)]
        return bad


def load(path=ROOT / "tools/demo.toml"):
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Demo(data.get("seconds", 60), data["guest"], data.get("expect", []))
    except (OSError, tomllib.TOMLDecodeError, KeyError) as e:
        raise DemoError(f"{path}: {e}") from None
