"""Running one unit-test program of tests/unit/ (built by make) under its time limit."""

import os
import signal
import subprocess

from . import tap


def log_path(program, log_dir):
    return log_dir / f"unit-{program.name}.tap"


def run(program, log_dir, timeout):
    """Runs the program, keeps its output in the log, returns a tap.Report of it."""
    log_dir.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
               UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")
    with open(log_path(program, log_dir), "w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen([program.resolve()], stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=subprocess.STDOUT, env=env, start_new_session=True)
        trouble = None
        try:
            status = child.wait(timeout)
            if status < 0:
                trouble = f"killed by {signal.Signals(-status).name}"
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            status = child.wait()
            trouble = f"did not end within {timeout:g} s"
        log.seek(0)
        text = log.read().splitlines()
    report = tap.parse(text)
    if trouble is None and status != 0 and report.passed:
        trouble = f"all its tests passed, yet it ended with status {status}"
    if trouble:
        report.errors.append(trouble)
    for line in text:
        if "ERROR: AddressSanitizer" in line or "WARNING: ThreadSanitizer" in line or "runtime error:" in line \
                or "ERROR: LeakSanitizer" in line:
            report.errors.append(line.strip())
    return report
