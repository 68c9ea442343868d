"""GRUB as a guest, which nobody here wrote either: Debian's image for PVH guests (grub-xen-bin, fetched with apt
and not installed). It writes to the console ring, looks at the memory map, asks a xenstore for disks, and
polls the ring for what is typed.
"""

import re
import subprocess

import pytest
from conftest import BUILD
from keyhole import console, guestspec, iso, linuxguest, machine

SECONDS = 120
MODULES = ["echo", "halt", "lsmmap", "read"]
SCRIPT = """\
lsmmap
echo "type a word"
read word
echo "it is <$word>"
halt
"""
WANTED = [r"base_addr = 0x0, length = 0x[0-9a-f]+, available RAM", r"type a word", r"it is <keyhole>"]


def make(directory):
    """GRUB as an ELF file with a PVH note. Raises SetupError."""
    modules = linuxguest.fetch("grub-xen-bin") / "usr/lib/grub/i386-xen_pvh"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "script").write_text(SCRIPT)
    subprocess.run(["grub-mkimage", "-d", modules, "-O", "i386-xen_pvh", "-c", directory / "script",
                    "-p", "/", "-o", directory / "grub.elf", *MODULES], check=True)
    return directory / "grub.elf"


@pytest.mark.timeout(SECONDS * 2 + 60)
def test_grub(tap_results, log_dir):
    try:
        elf = make(BUILD / "grub-guest")
    except linuxguest.SetupError as e:
        pytest.skip(f"no GRUB to run: {e}")
    image = BUILD / "boots/grub.iso"
    iso.make(image, BUILD / "test/keyhole.elf", [],
             guestspec.check_all(guestspec.parse_list(f"{elf}:name=grub,mem=32M")))
    with machine.make("bochs", image, log_dir, typing=True) as box:
        if box.run(SECONDS, until=re.compile(r"^\[grub\] type a word$", re.M), wait_exit=False) == "until":
            box.type("keyhole\r")
        reason = box.run(SECONDS)
        log = console.parse(box.text)
        tail = "\n".join([*box.complaints(), *console.clean(box.text).splitlines()[-20:]])
    image.unlink()
    said = "\n".join(log.guests.get("grub", []))
    for wanted in WANTED:
        tap_results.check(re.search(wanted, said), f"GRUB says /{wanted}/", tail)
    tap_results.check(not log.problems(), "the run ends well",
                      "\n".join([f"ended by: {reason}", *log.problems(), tail]))
    tap_results.finish()
