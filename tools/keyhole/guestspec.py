"""Guest specifications: `path.elf:name=a,mem=32M,cmdline="x y"`, as typed to `make run GUESTS=...`.

A list of specifications is split at white space, one specification at its first colon and then at
commas. Quotes (' or ") may stand anywhere and a backslash takes the next character literally, both
as in a shell. What comes out are the words that follow the file on GRUB's `module2` line.
"""

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

# The options the hypervisor knows. It checks them again: this is for errors before the boot.
OPTIONS = ("name", "mem", "vcpus", "weight", "cap", "pin", "cmdline", "priv", "image", "module", "populate",
           "mmio", "start")
FLAGS = ("data",)
REPEATABLE = ("module",)
SIZE = re.compile(r"^([1-9][0-9]*|0x[0-9a-fA-F]+)([KMG]?)$")
NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")

MULTIBOOT_MAGIC, MULTIBOOT_ADDRESSES, MULTIBOOT_SEARCH = 0x1badb002, 1 << 16, 8192
# Where in a file which bytes stand, and what it is then.
OTHER_FILES = (
    (0x202, b"HdrS", "a bzImage, for a boot loader in real mode: of Linux take the vmlinux inside (the kernel's "
     "scripts/extract-vmlinux; `make run-linux` does it for Debian's)"),
    (0, b"\x1f\x8b", "compressed: unpack it (gunzip)"),
    (0, b"\xfd7zXZ", "compressed: unpack it (unxz)"),
    (0, b"MZ", "a program for DOS, Windows or UEFI: a guest is an ELF file with a PVH note or a multiboot image"),
)
NO_IMAGE = "no ELF file, and no multiboot image with load addresses (a file for guests is marked with `data`)"


class SpecError(ValueError):
    """What is wrong with a specification, in words for the person who typed it."""


@dataclass
class Spec:
    """One boot module: a guest, or a file given to guests (`data`)."""

    path: Path | None  # None: a guest that uses another guest's file (image=)
    options: list = field(default_factory=list)  # "name=a", "data", ... without quotes

    def get(self, key):
        for option in self.options:
            if option == key:
                return ""
            if option.startswith(key + "="):
                return option[len(key) + 1:]
        return None

    @property
    def name(self):
        return self.get("name")

    @property
    def is_data(self):
        return "data" in self.options


def tokenize(text, separators):
    """Splits at any of the separator characters outside quotes; keeps quotes and backslashes.

    The quoting is kept so that the result can be split once more, by other separators.
    """
    parts, current, quote, escaped = [], "", None, False
    for c in text:
        if escaped:
            escaped = False
        elif c == "\\" and quote != "'":
            escaped = True
        elif quote:
            if c == quote:
                quote = None
        elif c in "'\"":
            quote = c
        elif c in separators:
            parts.append(current)
            current = ""
            continue
        current += c
    if quote:
        raise SpecError(f"the quote {quote} is never closed: {text}")
    if escaped:
        raise SpecError(f"ends with a backslash: {text}")
    parts.append(current)
    return parts


def unquote(text):
    """Takes quotes and backslashes away."""
    out, quote, escaped = "", None, False
    for c in text:
        if escaped:
            out, escaped = out + c, False
        elif c == "\\" and quote != "'":
            escaped = True
        elif quote:
            if c == quote:
                quote = None
            else:
                out += c
        elif c in "'\"":
            quote = c
        else:
            out += c
    return out


def parse_one(text):
    """`PATH:option,option` to a Spec, as written: check_all() judges it."""
    path, *rest = tokenize(text, ":")
    # Only the first colon counts: a command line may well hold one.
    options = ":".join(rest)
    words = [unquote(word) for word in tokenize(options, ",")] if options else []
    words = [word for word in words if word]
    path = unquote(path)
    return Spec(Path(path) if path else None, words)


def parse_list(text):
    """White-space separated specifications to Specs."""
    return [parse_one(part) for part in tokenize(text, " \t\n") if part]


def check_all(specs, read_files=True):
    """Fills in missing names and raises SpecError, naming what is wrong and what would be right."""
    if not specs:
        raise SpecError("no guest was given")
    names = {}
    for spec in specs:
        _check_options(spec)
        _default_name(spec, names)
        if spec.name in names:
            raise SpecError(f'two modules are named "{spec.name}": give each a name= of its own')
        names[spec.name] = spec
    if all(spec.is_data for spec in specs):
        raise SpecError("only data files were given, and no guest to run")
    for spec in specs:
        _check_references(spec, names)
        if read_files and spec.path is not None:
            _check_file(spec)
    return specs


def _label(spec):
    return str(spec.path) if spec.path else f'guest "{spec.name or "?"}"'


def _check_options(spec):
    seen = set()
    for option in spec.options:
        key, equals, value = option.partition("=")
        if any(c in option for c in "\n\r\0"):
            raise SpecError(f"{_label(spec)}: {key}= holds a line break")
        if not equals and key in FLAGS:
            continue
        if key not in OPTIONS or not equals:
            known = ", ".join(o + "=" for o in OPTIONS) + ", " + ", ".join(FLAGS)
            raise SpecError(f'{_label(spec)}: unknown option "{option}" (known: {known})')
        if key in seen and key not in REPEATABLE:
            raise SpecError(f"{_label(spec)}: {key}= is given twice")
        seen.add(key)
        if key == "mem":
            if not SIZE.match(value):
                raise SpecError(f"{_label(spec)}: mem={value} is no size (say 32M, 512K or 1G)")
        elif key == "vcpus":
            if not value.isdigit() or int(value) == 0:
                raise SpecError(f"{_label(spec)}: vcpus={value} is no number of CPUs")
        elif key == "name" and not NAME.match(value):
            raise SpecError(f"{_label(spec)}: name={value}: a name is of letters, digits, _ . -")


def _default_name(spec, names):
    if spec.name is not None:
        return
    if spec.path is None:
        raise SpecError("a guest without a file needs name= and image=")
    base = re.sub(r"[^A-Za-z0-9_.-]", "_", spec.path.stem).lstrip(".-") or "guest"
    name, n = base, 1
    while name in names:
        n += 1
        name = f"{base}{n}"
    spec.options.insert(0, f"name={name}")


def _check_references(spec, names):
    image = spec.get("image")
    if spec.path is None and image is None:
        raise SpecError(f"{_label(spec)}: has neither a file nor image=")
    if image is not None and (image not in names or names[image].is_data):
        raise SpecError(f'{_label(spec)}: image={image}: there is no guest "{image}"')
    priv = spec.get("priv")
    if priv is not None and priv != "*" and (priv not in names or names[priv].is_data):
        raise SpecError(f'{_label(spec)}: priv={priv}: there is no guest "{priv}" (or say priv=*)')
    for option in spec.options:
        if option.startswith("module="):
            wanted = option.partition("=")[2]
            if wanted not in names or not names[wanted].is_data:
                raise SpecError(f'{_label(spec)}: {option}: there is no data file "{wanted}"')


def _multiboot_addresses(head):
    """Whether the start of a file holds a multiboot header that says where it is loaded."""
    for at in range(0, min(len(head), MULTIBOOT_SEARCH) - 11, 4):
        magic, flags, checksum = struct.unpack_from("<III", head, at)
        if magic == MULTIBOOT_MAGIC and (magic + flags + checksum) & 0xffffffff == 0:
            return bool(flags & MULTIBOOT_ADDRESSES)
    return False


def _check_file(spec):
    try:
        with open(spec.path, "rb") as f:
            head = f.read(MULTIBOOT_SEARCH)
    except OSError as e:
        raise SpecError(f"{spec.path}: {e.strerror}") from None
    if spec.is_data or spec.get("image") is not None or _multiboot_addresses(head):
        return
    if head[:4] != b"\x7fELF":
        hints = [hint for at, magic, hint in OTHER_FILES if head[at:at + len(magic)] == magic]
        raise SpecError(f"{spec.path}: is {hints[0] if hints else NO_IMAGE}")
    machine = int.from_bytes(head[18:20], "little")
    if machine not in (3, 62):
        raise SpecError(f"{spec.path}: is an ELF file for another CPU (machine {machine})")
