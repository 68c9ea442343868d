"""The users' main way, where there is no VT-x: QEMU with nested KVM, on Linux inside Bochs."""

import os
import subprocess

import pytest
from conftest import BUILD, LOGS, ROOT
from keyhole import console, demo, iso

LIMIT = 240  # seconds of tools/nested; the first run also builds its Linux


@pytest.mark.nested
@pytest.mark.timeout(LIMIT + 300)
def test_nested_demo(tap_results):
    tool = ROOT / "tools/nested/run"
    if not tool.exists():
        pytest.skip("tools/nested is not there")
    if os.environ.get("NESTED") == "no":
        pytest.skip("NESTED=no")
    image = BUILD / "demo-nested.iso"
    checked = demo.load()
    iso.make(image, BUILD / "keyhole.elf", [], checked.specs(BUILD))
    log = LOGS / "nested-l0.log"
    with open(log, "wb") as err:
        done = subprocess.run([tool, image, str(LIMIT), r"^keyhole: end: .* status \d+"], cwd=ROOT,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                              check=False)
    text = done.stdout.decode("utf-8", "replace")
    (LOGS / "nested-serial.log").write_text(text, encoding="utf-8")
    parsed = console.parse(text)
    if done.returncode == 3:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        tap_results.check(False, "nested KVM starts", "\n".join(last))
    else:
        problems = checked.problems(parsed)
        tap_results.check(not problems, "the demo does what it should under nested KVM",
                          "\n".join([*problems, *text.splitlines()[-25:]]))
    tap_results.finish()
