"""What all tests share: paths, T=pattern, and the counting of TAP results.

A test of this suite is often a whole boot with many results. Such a test calls the `tap_results`
fixture with them; the sum that `make test` prints at its end counts those, not pytest's items.
"""

import json
import os
import resource
import sys
import time
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

BUILD = Path(os.environ.get("BUILD", "build"))
BUILD = BUILD if BUILD.is_absolute() else ROOT / BUILD
LOGS = BUILD / "logs"
PATTERN = os.environ.get("T", "")
ORDER = {name: i for i, name in enumerate(
    ("test_nested", "test_linux", "test_tools", "test_unit", "test_mutants", "test_bench", "test_monitor",
     "test_explain", "test_selftest", "test_demo", "test_leak", "test_guests"))}


def pytest_configure(config):
    config.addinivalue_line("markers", "nested: QEMU with nested KVM, on Linux inside Bochs")
    config.addinivalue_line("markers", "chosen: this test looked at T=pattern itself")
    LOGS.mkdir(parents=True, exist_ok=True)


def pytest_collection_modifyitems(config, items):
    """T=pattern keeps the tests whose name contains it. The longest starts first, the short ones
    follow it, so that the processes that share the work end at about the same time."""
    items.sort(key=lambda item: ORDER.get(Path(item.fspath).stem, len(ORDER)))
    if not PATTERN:
        return
    kept, dropped = [], []
    for item in items:
        ok = PATTERN in item.name or PATTERN in Path(item.fspath).stem \
            or item.get_closest_marker("chosen")
        (kept if ok else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def processor_seconds():
    """What this process and the children it has waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    began, used = time.monotonic(), processor_seconds()
    yield
    item.user_properties.append(("seconds", (processor_seconds() - used, time.monotonic() - began)))


def file_name(test):
    """A test's name as a file name."""
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in test).strip("_")
    return name if len(name) <= 100 else f"{name[:90]}-{zlib.crc32(name.encode()):08x}"


class TapResults:
    """Collects the results of one pytest item: how many of each status, and a log in TAP."""

    def __init__(self, request):
        self.request = request
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.lines = []

    def _count(self, status, text, why=""):
        self.counts[status] += 1
        number = len([x for x in self.lines if not x.startswith("#")]) + 1
        word = "not ok" if status == "failed" else "ok"
        skip = f" # SKIP {why}" if status == "skipped" else ""
        self.lines.append(f"{word} {number} - {text}{skip}")
        if why and status == "failed":
            self.lines += [f"# {line}" for line in why.splitlines()]

    def check(self, good, text, why=""):
        """One result of the test's own."""
        self._count("passed" if good else "failed", text, why)
        return good

    def add_report(self, prefix, report):
        """All results of a keyhole.tap.Report; what is wrong with the stream is one more failure."""
        for r in report.results:
            self._count(r.status, f"{prefix}: {r.text}", r.why)
        if report.skip_all:
            self._count("skipped", prefix, report.skip_all)
        if report.errors:
            self._count("failed", f"{prefix}: its TAP is whole", "\n".join(report.errors))

    def finish(self):
        """Writes the log and fails the item if any result failed."""
        log = LOGS / f"{file_name(self.request.node.name)}.tap"
        total = sum(self.counts.values())
        log.write_text("\n".join([f"1..{total}", *self.lines]) + "\n", encoding="utf-8")
        if self.counts["failed"]:
            failed = [x for i, x in enumerate(self.lines)
                      if x.startswith("not ok") or (x.startswith("#"))]
            pytest.fail("\n".join([*failed, f"log: {log}"]), pytrace=False)
        if total == self.counts["skipped"]:
            pytest.skip("all of its results are skips")


@pytest.fixture
def tap_results(request):
    results = TapResults(request)
    request.node.user_properties.append(("tap", results.counts))
    yield results


@pytest.fixture
def log_dir(request):
    """A directory under build/logs for this test's machine."""
    return LOGS / file_name(request.node.name)


class Sum:
    """On the controlling process: the sum over all items, written to build/logs/result.json, and what time each
    took: times.txt."""

    def __init__(self):
        self.total = {"passed": 0, "failed": 0, "skipped": 0}
        self.skips = []
        self.times = []

    def pytest_runtest_logreport(self, report):
        if report.when != "call" and report.outcome == "passed":
            return
        properties = dict(report.user_properties) if report.when == "call" else {}
        tap = properties.get("tap")
        if "seconds" in properties:
            self.times.append((*properties["seconds"], report.nodeid))
        if tap and sum(tap.values()):
            for status, n in tap.items():
                self.total[status] += n
            if report.outcome == "failed" and not tap["failed"]:
                self.total["failed"] += 1
        else:
            self.total[report.outcome] += 1
        if report.outcome == "skipped":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self.skips.append(f"{report.nodeid}: {reason}")

    def pytest_collectreport(self, report):
        if report.outcome == "failed":
            self.total["failed"] += 1

    def pytest_sessionfinish(self, session):
        (LOGS / "result.json").write_text(json.dumps({"total": self.total, "skips": self.skips}))
        rows = [f"{used:8.2f} {long:8.2f}  {test}\n" for used, long, test in sorted(self.times, reverse=True)]
        (LOGS / "times.txt").write_text("processor seconds, seconds, test\n" + "".join(rows))


def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(Sum(), "keyhole-sum")
