"""TAP: parsing what a test program printed, and judging it.

A result counts only if the producer kept to its plan: no plan, a plan cut off, numbers out of order
or a "Bail out!" are failures, whatever the lines before them said.
"""

import re
from dataclasses import dataclass, field

PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*skip\b\s*(.*))?\s*$", re.I)
RESULT = re.compile(r"^(not )?ok\b(?:\s+(\d+))?(?:\s+-?\s*(.*))?$")
DIRECTIVE = re.compile(r"(?:^|\s)#\s*(skip|todo)\S*\s*(.*)$", re.I)
BAIL_OUT = re.compile(r"^Bail out!\s*(.*)$")


@dataclass
class Result:
    """One line of TAP: status is 'passed', 'failed' or 'skipped'."""

    number: int
    status: str
    text: str
    why: str = ""


@dataclass
class Report:
    """All of a producer's results, and what was wrong with the stream as a whole."""

    results: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    planned: int | None = None
    skip_all: str | None = None

    def count(self, status):
        return sum(1 for r in self.results if r.status == status)

    @property
    def passed(self):
        return not self.errors and self.count("failed") == 0

    def problems(self):
        """Lines that say why this report is a failure; empty if it is none."""
        bad = [f"not ok {r.number} - {r.text}{': ' + r.why if r.why else ''}"
               for r in self.results if r.status == "failed"]
        return bad + self.errors


def parse(lines):
    """Reads the lines of one producer; lines that are not TAP are its chatter and are ignored."""
    report = Report()
    for line in lines:
        line = line.rstrip()
        if m := PLAN.match(line):
            if report.planned is not None:
                report.errors.append("a second plan: " + line)
            report.planned = int(m[1])
            if report.planned == 0 and m[2] is not None:
                report.skip_all = m[2] or "no reason given"
        elif m := BAIL_OUT.match(line):
            report.errors.append("bailed out: " + m[1])
        elif m := RESULT.match(line):
            report.results.append(_result(m, len(report.results) + 1))
            if report.results[-1].number != len(report.results):
                report.errors.append(
                    f"test {len(report.results)} came numbered {report.results[-1].number}")
        elif line.startswith("# failed at ") and report.results:
            report.results[-1].why = line[2:]
    _judge(report)
    return report


def _result(match, position):
    text = match[3] or ""
    status = "failed" if match[1] else "passed"
    why = ""
    if d := DIRECTIVE.search(text):
        text, why = text[:d.start()].rstrip(), d[2].strip()
        if d[1].lower() == "skip":
            status = "skipped"
            why = why or "no reason given"
        # A "todo" is a known failure: known or not, it fails here.
    return Result(int(match[2] or position), status, text, why)


def _judge(report):
    if report.planned is None:
        report.errors.append(f"no plan after {len(report.results)} results")
    elif report.planned != len(report.results):
        report.errors.append(f"planned {report.planned} tests, saw {len(report.results)}")
    elif report.planned == 0 and report.skip_all is None:
        report.errors.append("planned nothing")
