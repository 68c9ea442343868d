"""Debian's Linux as a guest: its kernel and an initramfs, made of packages that are fetched with apt
(tools/nested/parts.py) and kept out of the repository. tools/linux/init is its first process.
"""

import struct
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOOLS / "nested"))
import image  # noqa: E402
import parts  # noqa: E402

SetupError = parts.SetupError
NEEDED = ("apt-get", "dpkg-deb", "lz4")
# Without it the kernel tests its ciphers for 0.2 s of the processor's time: half of the boot.
CMDLINE = "cryptomgr.notests"
MEM = "160M"

ELF_HEADER, PROGRAM_HEADER = 64, 56  # sizes of a 64-bit ELF file's
PT_LOAD = 1
PAGE = 4096


def trimmed(elf):
    """The ELF file with nothing but its segments, one behind the other, and of them nothing that is
    zero to the end: a boot loader under Bochs needs a second for some MiB."""
    (headers_at,) = struct.unpack_from("<Q", elf, 32)
    (count,) = struct.unpack_from("<H", elf, 56)
    headers = [list(struct.unpack_from("<IIQQQQQQ", elf, headers_at + i * PROGRAM_HEADER))
               for i in range(count)]
    moved, out = [], bytearray(PAGE)
    for h in headers:
        if h[0] != PT_LOAD:
            continue
        data = elf[h[2]:h[2] + h[5]].rstrip(b"\0")
        moved.append((h[2], len(data), len(out)))
        h[2], h[5] = len(out), len(data)
        out += data + b"\0" * (-len(data) % PAGE)
    for h in headers:
        for old, length, new in moved:
            if h[0] != PT_LOAD and old <= h[2] and h[2] + h[5] <= old + length:
                h[2] += new - old
                break
    head = bytearray(elf[:ELF_HEADER])
    struct.pack_into("<Q", head, 32, ELF_HEADER)
    struct.pack_into("<Q", head, 40, 0)  # no sections
    struct.pack_into("<HHH", head, 58, 0, 0, 0)
    out[:ELF_HEADER] = head
    for i, h in enumerate(headers):
        struct.pack_into("<IIQQQQQQ", out, ELF_HEADER + i * PROGRAM_HEADER, *h)
    return bytes(out)


def initramfs(busybox):
    cpio = image.Cpio()
    cpio.file("init", str(TOOLS / "linux/init"))
    cpio.file("bin/busybox", busybox)
    return cpio.finish()


def fetch(package):
    """The path under which a package's files lie. Raises SetupError."""
    parts.check_programs(NEEDED)
    with parts.locked():
        return Path(parts.fetch(package))


def prepare(build):
    """Makes vmlinux and initramfs.cpio in a directory under build; returns their paths. The kernel is
    made once, the initramfs each time. Raises SetupError."""
    parts.check_programs(NEEDED)
    directory = Path(build) / "linux"
    directory.mkdir(parents=True, exist_ok=True)
    with parts.locked():  # tests run side by side
        bzimage, busybox = parts.fetch_linux(), parts.fetch_busybox()
        kernel = directory / (Path(bzimage).name.replace("vmlinuz", "vmlinux") + ".elf")
        if not kernel.exists():
            _write(kernel, trimmed(parts.uncompressed_kernel(bzimage)))
        archive = directory / "initramfs.cpio"
        _write(archive, initramfs(busybox))
    return kernel, archive


def _write(path, data):
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)


def guests(paths, vcpus, do, console="hvc0"):
    """The text of GUESTS= for as many guests as vcpus has numbers. do: see tools/linux/init."""
    kernel, archive = paths
    words = [f"{archive}:name=initramfs,data"]
    for i, n in enumerate(vcpus):
        name = "linux" if len(vcpus) == 1 else f"linux{i + 1}"
        file = f"{kernel}:" if i == 0 else f":image=linux1,"
        words.append(f'{file}name={name},mem={MEM},vcpus={n},module=initramfs,'
                     f'cmdline="console={console} {CMDLINE} VCPUS={n} DO={do}"')
    return " ".join(words)
