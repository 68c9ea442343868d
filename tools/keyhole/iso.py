"""Making the bootable image: GRUB, the hypervisor and its boot modules, for BIOS and UEFI alike."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# With no more than these an emulated PC is in the hypervisor within a second. The part_* ones are what
# GRUB's EFI start-up script asks for; without them it complains.
GRUB_MODULES = ("multiboot2 normal iso9660 part_gpt part_msdos part_apple part_acorn part_amiga "
                "part_bsd part_dfly part_dvh part_plan part_sun part_sunpc")


class IsoError(RuntimeError):
    """The image could not be made; the message says why."""


# Where GRUB's platforms are installed, and those that the image is made for: BIOS and UEFI.
GRUB_DIR = Path("/usr/lib/grub")
GRUB_PLATFORMS = ("i386-pc", "x86_64-efi")


def grub_word(word):
    """One word as GRUB's script language must read it."""
    return "'" + word.replace("'", "'\"'\"'") + "'"


def grub_config(cmdline_words, modules):
    """The text of grub.cfg. `modules` is a list of (file in the image, first word, option words)."""
    lines = ["set timeout=0", "set default=0", 'menuentry "Keyhole" {']
    words = ["multiboot2", "/boot/keyhole.elf", *map(grub_word, cmdline_words)]
    lines.append("\t" + " ".join(words))
    for path, first, options in modules:
        lines.append("\t" + " ".join(["module2", path, *map(grub_word, [first, *options])]))
    lines.append("}")
    return "\n".join(lines) + "\n"


def make(output, kernel, cmdline_words, specs):
    """Writes the image to `output`. Raises IsoError."""
    output = Path(output)
    kernel = Path(kernel)
    if shutil.which("grub-mkrescue") is None:
        raise IsoError("grub-mkrescue is missing (packages grub-common, grub-pc-bin, "
                       "grub-efi-amd64-bin): run tools/deps")
    if not kernel.is_file():
        raise IsoError(f"{kernel}: no such file: build the hypervisor first")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="keyhole-iso-") as tmp:
        tree = Path(tmp) / "tree"
        guests = tree / "boot/guests"
        guests.mkdir(parents=True)
        _strip(kernel, tree / "boot/keyhole.elf")
        modules = [_place(spec, number, guests) for number, spec in enumerate(specs)]
        grub = tree / "boot/grub"
        grub.mkdir()
        (grub / "grub.cfg").write_text(grub_config(cmdline_words, modules), encoding="utf-8")
        image = Path(tmp) / "image.iso"
        # Other platforms that are installed (Xen's, say) lack modules, and grub-mkrescue takes all it finds.
        platforms = Path(tmp) / "grub"
        platforms.mkdir()
        for name in GRUB_PLATFORMS:
            if (GRUB_DIR / name).is_dir():
                (platforms / name).symlink_to(GRUB_DIR / name)
        result = subprocess.run(
            ["grub-mkrescue", "-o", image, f"--install-modules={GRUB_MODULES}", "--modules=",
             "--fonts=", "--themes=", "--locales=", "--compress=no", tree],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env={**os.environ, "pkglibdir": str(platforms)})
        if result.returncode != 0 or not image.is_file():
            raise IsoError("grub-mkrescue failed:\n" + result.stdout + result.stderr)
        # Replaced in one step, so that a run that is under way keeps the image it has open.
        part = output.with_name(f"{output.name}.{os.getpid()}")
        shutil.move(image, part)
        part.replace(output)


def _strip(elf, output):
    """Without what only a debugger reads: GRUB would load that too, a byte at a time, and it is the larger part.
    What objcopy does not know goes in as it is."""
    done = subprocess.run(["objcopy", "--strip-all", elf, output], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    if done.returncode != 0:
        shutil.copyfile(elf, output)


def _place(spec, number, guests):
    """Copies a module's file into the image; returns its part of grub.cfg."""
    if spec.path is None:
        name = f"{number}-placeholder"
        (guests / name).write_text("the file of another guest is used instead (image=)\n")
    else:
        name = f"{number}-{spec.path.name}".replace(" ", "_")
        shutil.copyfile(spec.path, guests / name)
    first = spec.path.name if spec.path else "placeholder"
    return grub_path(f"/boot/guests/{name}"), first, spec.options


def grub_path(path):
    return grub_word(path) if not path.replace("/", "").replace(".", "").replace(
        "-", "").replace("_", "").isalnum() else path
