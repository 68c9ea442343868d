"""What the first instructions say when the processor will not do: on the serial port, and on the text screen."""

import re

import pytest
from conftest import BUILD
from keyhole import iso, machine

# A processor without the feature, and what must be said of it.
CASES = {"lm": "no 64-bit mode", "nx": "no no-execute pages", "sse4.2": "no SSE4.2"}
TEXT_SCREEN = 0xb8000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("feature", CASES)
def test_early(feature, tap_results, log_dir):
    image = BUILD / f"test/early-{feature}.iso"
    iso.make(image, BUILD / "test/keyhole.elf", [], [])
    with machine.Qemu(image, log_dir, monitor=True, extra=["-cpu", f"max,-{feature}"]) as box:
        box.run(30, until=re.compile(r"^keyhole: this processor .*\n", re.M), wait_exit=False)
        tap_results.check(CASES[feature] in box.text, f"without {feature}: the serial port says why",
                          box.text[-500:])
        # Each character on the screen has a byte of colour behind it.
        screen = box.monitor(f"xp /160bx {TEXT_SCREEN:#x}")
        cells = [int(b, 16) for b in re.findall(r"0x([0-9a-f]{2})\b", screen)]
        text = bytes(cells[::2]).decode("latin-1")
        tap_results.check(CASES[feature] in text, f"without {feature}: so does the screen", text)
    tap_results.finish()
