"""The disk from which Bochs starts Linux (L0), and the archives of its initramfs."""

import os
import re
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
PT_LOAD, PT_NOTE = 1, 4
XEN_ELFNOTE_PHYS32_ENTRY = 18  # Xen's public header elfnote.h
BOCHS_CYLINDER = 16 * 63  # sectors; Bochs refuses a disk that is not a whole number of them


def layout():
    """The numbers that boot.S and loader.c are compiled with."""
    with open(os.path.join(HERE, "layout.h"), encoding="ascii") as f:
        return {n: int(v, 0) for n, v in re.findall(r"^#define (\w+)\s+(\w+)$", f.read(), re.M)}


class Cpio:
    """An archive in the format "newc" (Linux, driver-api/early-userspace/buffer-format.rst).
    Directories are made as they are needed. Several archives may follow one another."""

    def __init__(self):
        self.out, self.dirs, self.inode = [], set(), 0

    def _entry(self, name, mode, data=b""):
        self.inode += 1
        name = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % x for x in fields) + name
        self.out += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def _parents(self, name):
        d = os.path.dirname(name)
        if d and d not in self.dirs:
            self._parents(d)
            self.dirs.add(d)
            self._entry(d, 0o40755)

    def link(self, name, target):
        self._entry(name, 0o120777, target.encode())

    def data(self, name, data):
        self._parents(name)
        self._entry(name, 0o100755, data)

    def file(self, name, path):
        with open(path, "rb") as f:
            self.data(name, f.read())

    def finish(self):
        """The archive's bytes, padded to whole sectors."""
        self._entry("TRAILER!!!", 0)
        data = b"".join(self.out)
        return data + b"\0" * (-len(data) % 512)


def kernel_segments(elf):
    """(physical address, offset, bytes in the file, bytes in memory) of each segment of a vmlinux,
    and its PVH entry point."""
    segments, entry = [], None
    (phoff,), (phnum,) = struct.unpack_from("<Q", elf, 32), struct.unpack_from("<H", elf, 56)
    for i in range(phnum):
        kind, _, offset, _, paddr, filesz, memsz, _ = struct.unpack_from("<IIQQQQQQ", elf,
                                                                         phoff + 56 * i)
        if kind == PT_LOAD:
            segments.append((paddr, offset, filesz, memsz))
        note = offset if kind == PT_NOTE else offset + filesz
        while note < offset + filesz:
            namesz, descsz, what = struct.unpack_from("<III", elf, note)
            desc = note + 12 + (namesz + 3 & ~3)
            if elf[note + 12:note + 12 + namesz] == b"Xen\0" and what == XEN_ELFNOTE_PHYS32_ENTRY:
                entry = int.from_bytes(elf[desc:desc + descsz], "little")
            note = desc + (descsz + 3 & ~3)
    if entry is None:
        raise ValueError("the kernel has no PVH entry point")
    return segments, entry


def write_disk(path, parts, cmdline, archive):
    """Writes the disk image `path`: boot.bin, loader.bin, vmlinux and initramfs.cpio of the
    directory `parts`, the kernel's command line, and one more archive for this run."""
    def read(name):
        with open(os.path.join(parts, name), "rb") as f:
            return f.read()

    n = layout()
    sector = n["SECTOR_BYTES"]
    boot, loader, elf, base = (read(f) for f in ("boot.bin", "loader.bin", "vmlinux",
                                                 "initramfs.cpio"))
    cmdline = cmdline.encode() + b"\0"
    for what, data, room in (("boot sector", boot, 1), ("loader", loader, n["LOADER_SECTORS"]),
                             ("command line", cmdline, n["CMDLINE_SECTORS"])):
        if len(data) > room * sector:
            raise ValueError("the %s has %d bytes, more than layout.h allows" % (what, len(data)))
    segments, entry = kernel_segments(elf)
    if max(a + m for a, _, _, m in segments) > n["INITRD_ADDR"]:
        raise ValueError("the kernel reaches INITRD_ADDR of layout.h")

    initrd_bytes = len(base) + len(archive)
    blocks = [(addr, [elf[off:off + size]], memory) for addr, off, size, memory in segments]
    blocks.append((n["INITRD_ADDR"], [base, archive], initrd_bytes))
    if len(blocks) > n["TABLE_BLOCKS"]:
        raise ValueError("the kernel has more segments than layout.h allows")

    at = 1 + n["LOADER_SECTORS"] + 1 + n["CMDLINE_SECTORS"]
    table = struct.pack("<4I", n["TABLE_MAGIC"], len(blocks), entry, initrd_bytes)
    with open(path, "wb") as f:
        for addr, pieces, memory in blocks:
            size = sum(map(len, pieces))
            table += struct.pack("<4I", addr, at, size, memory)
            f.seek(at * sector)
            f.writelines(pieces)
            at += -(-size // sector)
        f.truncate(-(-at // BOCHS_CYLINDER) * BOCHS_CYLINDER * sector)
        f.seek(0)
        f.write(boot)
        f.write(loader.ljust(n["LOADER_SECTORS"] * sector, b"\0"))
        f.write(table.ljust(sector, b"\0"))
        f.write(cmdline)
