"""The users' main way, where there is no VT-x: QEMU with nested KVM, on Linux inside Bochs."""

import os
import shutil
import subprocess

import pytest
from conftest import BUILD, LOGS, ROOT
from keyhole import console, demo, iso, tap

LIMIT = 240  # seconds of tools/nested; the first run also fetches and builds its Linux


@pytest.mark.nested
@pytest.mark.timeout(LIMIT + 300)
def test_nested_demo(tap_results):
    if os.environ.get("NESTED") == "no":
        pytest.skip("NESTED=no")
    image = BUILD / "demo-nested.iso"
    checked = demo.load()
    iso.make(image, BUILD / "keyhole.elf", [], checked.specs(BUILD))
    run_dir = LOGS / "nested"
    shutil.rmtree(run_dir, ignore_errors=True)
    with open(LOGS / "nested-stderr.log", "wb") as err:
        done = subprocess.run(
            [ROOT / "tools/nested/test", image, str(LIMIT)], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=err, text=True, errors="replace",
            env=dict(os.environ, RUN_DIR=str(run_dir)), check=False)
    report = tap.parse(done.stdout.splitlines())
    if report.passed and done.returncode != 0:
        report.errors.append(f"ended with status {done.returncode}")
    if not report.passed:
        report.errors += [x for x in done.stdout.splitlines() if x.startswith("# ")]
    tap_results.add_report("nested KVM", report)
    if not report.skip_all:
        serial = (run_dir / "console").read_text(errors="replace")
        problems = checked.problems(console.parse(serial))
        tap_results.check(not problems, "nested KVM: the demo does what it should",
                          "\n".join([*problems, *serial.splitlines()[-25:]]))
    tap_results.finish()
