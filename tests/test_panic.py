"""A panic on one processor while guests run on all of them: what it says is whole, and everything stops."""

import re

import pytest
from conftest import BUILD
from keyhole import console, guestspec, iso, machine

# In this order, each a line of its own; after the last one there is nothing.
WANTED = [r"PANIC: asked for by a guest$", r"cpu\d+, registers:$", r"  rip [0-9a-f]{16} rsp [0-9a-f]{16} rbp ",
          r"  cr0 [0-9a-f]+ cr2 ", r"backtrace:$", r"  [0-9a-f]{16} test_hypercall\+0x", r"  [0-9a-f]{16} vmx_exit\w*\+0x",
          r'current guest: d\d+ "panics"$']


@pytest.mark.timeout(240)
@pytest.mark.parametrize("model, cpus", [(machine.BOCHS_OLD_CPU, 2), (machine.BOCHS_SMP_CPU, 4)])
def test_panic_with_guests(model, cpus, tap_results, log_dir):
    image = BUILD / f"test/panic-{cpus}.iso"
    file = BUILD / "guests/panic.elf"
    iso.make(image, BUILD / "test/keyhole.elf", [],
             [guestspec.Spec(file, ["name=panics", "mem=4M"]),
              guestspec.Spec(file, ["name=prints", "mem=4M", f"vcpus={cpus}", "cmdline=busy"])])
    with machine.make("bochs", image, log_dir, model=model, mem=64, cpus=cpus) as box:
        reason = box.run(150)
    lines = [x for x in console.clean(box.text).replace("\r", "").split("\n") if x]
    said = "\n".join(lines[-40:])
    first = next((i for i, x in enumerate(lines) if "PANIC" in x), len(lines))
    tap_results.check(reason == "exit", "the machine stops by itself", f"{reason}\n{said}")
    tap_results.check(any(x.startswith("[prints]") for x in lines[:first]), "others ran before", said)
    rest = lines[first:]
    tap_results.check(all(x.startswith("keyhole: ") for x in rest), "nobody else says anything after it", said)
    found, at = 0, 0
    for at, line in enumerate(rest):
        if found < len(WANTED) and re.match("keyhole: " + WANTED[found], line):
            found += 1
    tap_results.check(found == len(WANTED), "what it says is whole",
                      f"missing: {WANTED[found] if found < len(WANTED) else ''}\n{said}")
    tap_results.check(bool(rest) and bool(re.match("keyhole: " + WANTED[-1], rest[-1])), "and the last there is", said)
    tap_results.finish()
