"""What all runs share: Linux with KVM, its initramfs with QEMU, and the loader.

Everything is made of Debian packages. Two are fetched with `apt-get download` and unpacked, not
installed; the rest must be installed, as for the other runners. The results lie in build/nested/
and are made again when a source in this directory, QEMU or the kernel package changes.
"""

import contextlib
import fcntl
import glob
import gzip
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys

import image

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "nested")
PACKAGES = os.path.join(BUILD, "packages")

QEMU = "/usr/bin/qemu-system-x86_64"
FIRMWARE = ["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/kvmvapic.bin"]
BOCHS_BIOS = "/usr/share/bochs/BIOS-bochs-latest"
BOCHS_VGABIOS = "/usr/share/vgabios/vgabios-stdvga.bin"
MODULES = ["virt/lib/irqbypass", "arch/x86/kvm/kvm", "arch/x86/kvm/kvm-intel"]
PROGRAMS = ["port", "vmm"]

# What must be installed: a command or a file, and the package that has it.
NEEDED = [
    ("bochs", "bochs"),
    ("/usr/lib/*/bochs/plugins/libbx_term_gui.so", "bochs-term"),
    (BOCHS_BIOS, "bochsbios"),
    (BOCHS_VGABIOS, "vgabios"),
    (QEMU, "qemu-system-x86"),
    (FIRMWARE[0], "seabios"),
    (FIRMWARE[1], "qemu-system-data"),
    ("gcc", "gcc"),
    ("objcopy", "binutils"),
    ("/usr/include/*/sys/io.h", "libc6-dev"),
    ("lz4", "lz4"),
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
]

class SetupError(Exception):
    """The test cannot be run here; the text says why and what would help."""


def command(*args, cwd=None, data=None):
    """Runs a program, returns its standard output; SetupError with its complaint if it fails."""
    r = subprocess.run(args, cwd=cwd, input=data, capture_output=True, check=False)
    if r.returncode:
        complaint = (r.stderr or r.stdout).decode(errors="replace").strip().splitlines()
        raise SetupError("%s: %s" % (args[0], " / ".join(complaint[-3:])))
    return r.stdout


def check_installed():
    missing = [
        package
        for name, package in NEEDED
        if not (glob.glob(name) if name.startswith("/") else shutil.which(name))
    ]
    if missing:
        raise SetupError("not installed: apt-get install " + " ".join(missing))


def check_programs(names):
    """SetupError unless each is there, and the package that has it."""
    packages = dict(NEEDED)
    missing = [packages.get(name, name) for name in names if not shutil.which(name)]
    if missing:
        raise SetupError("not installed: apt-get install " + " ".join(missing))


def kernel_package():
    """Name of the package that linux-image-cloud-amd64 stands for: small, with KVM, LZ4."""
    for can_update in (os.geteuid() == 0, False):
        r = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"],
                           capture_output=True, check=False)
        found = re.search(rb"Depends: (linux-image-\d\S*)", r.stdout)
        if found:
            return found.group(1).decode()
        if can_update:
            subprocess.run(["apt-get", "update", "-qq"], stdout=sys.stderr, check=False)
    raise SetupError("apt knows no package linux-image-cloud-amd64: run apt-get update "
                     "(a network or mirror with Debian's main for amd64 is needed)")


def fetch(package):
    """Directory with the package's files, downloaded and unpacked if not there yet."""
    tree = os.path.join(PACKAGES, package)
    if os.path.isdir(tree):
        return tree
    os.makedirs(PACKAGES, exist_ok=True)
    for old in glob.glob(os.path.join(PACKAGES, package + "_*.deb")):
        os.unlink(old)
    print("nested: fetching " + package, file=sys.stderr, flush=True)
    try:
        command("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, cwd=PACKAGES)
    except SetupError as e:
        raise SetupError("package %s cannot be downloaded (if its version is gone from the "
                         "mirror: apt-get update): %s" % (package, e)) from None
    (deb,) = glob.glob(os.path.join(PACKAGES, package + "_*.deb"))
    command("dpkg-deb", "-x", deb, tree + ".new")
    os.rename(tree + ".new", tree)
    os.unlink(deb)
    return tree


def uncompressed_kernel(bzimage):
    """The vmlinux inside a bzImage (Linux, Documentation/arch/x86/boot.rst: payload_offset)."""
    with open(bzimage, "rb") as f:
        d = f.read()
    setup_sectors = d[0x1F1] or 4
    offset, length = struct.unpack_from("<II", d, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = d[start:start + length]
    if payload.startswith(b"\x02\x21\x4c\x18"):  # LZ4, with the length appended
        return command("lz4", "-q", "-d", "-c", data=payload[:-4])
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload[:-4])
    raise SetupError("the kernel's compression is not known (it begins with %s)" % payload[:4].hex())


def module(tree, name):
    """A kernel module, made quick to load: without its signature, its BTF types, and the list of
    its function entries, each of which ftrace would look up (trace events do not need them)."""
    (path,) = glob.glob("%s/lib/modules/*/kernel/%s.ko*" % (tree, name)) or \
        glob.glob("%s/usr/lib/modules/*/kernel/%s.ko*" % (tree, name))
    out = os.path.join(BUILD, os.path.basename(name) + ".ko")
    with open(path, "rb") as f:
        data = f.read()
    with open(out, "wb") as f:
        f.write(lzma.decompress(data) if path.endswith(".xz") else data)
    command("objcopy", "-R", ".BTF", "-R", "__mcount_loc", "--strip-unneeded", out)
    with open(out, "rb") as f:
        return f.read()


def libraries(program):
    """Absolute names of the shared libraries, and of the dynamic loader, that a program needs."""
    text = command("ldd", program).decode()
    if "not found" in text:
        raise SetupError("%s lacks a library: %s" % (program, text))
    return re.findall(r"(/\S+) \(0x", text)


def compile_parts():
    """The boot sector, the loader and L0's own programs, from this directory."""
    def source(name):
        return os.path.join(HERE, name)

    def built(name):
        return os.path.join(BUILD, name)

    warnings = ["-Wall", "-Wextra", "-Werror"]
    command("gcc", "-m32", "-c", "-o", built("boot.o"), source("boot.S"))
    command("ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary",
            "-o", built("boot.bin"), built("boot.o"))
    command("gcc", "-m32", "-march=i686", "-std=gnu11", "-Os", "-ffreestanding", "-fno-pie",
            "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-mgeneral-regs-only",
            *warnings, "-c", "-o", built("loader.o"), source("loader.c"))
    command("ld", "-m", "elf_i386", "-T", source("loader.ld"), "--oformat", "binary",
            "-o", built("loader.bin"), built("loader.o"))
    for program in PROGRAMS:
        command("gcc", "-O1", "-static", "-s", *warnings, "-o", built(program),
                source(program + ".c"))


def initramfs(kernel_tree):
    cpio = image.Cpio()
    cpio.link("lib", "usr/lib")
    cpio.link("lib64", "usr/lib64")
    cpio.file("init", os.path.join(HERE, "init"))
    for program in PROGRAMS:
        cpio.file(program, os.path.join(BUILD, program))
    cpio.file("bin/busybox", fetch_busybox())
    for m in MODULES:
        cpio.data("modules/%s.ko" % os.path.basename(m), module(kernel_tree, m))
    for f in [QEMU] + FIRMWARE + libraries(QEMU):
        # /lib is usr/lib there, as on an installed Debian
        cpio.file(f[1:] if f.startswith("/usr/") else "usr" + f, f)
    return cpio.finish()


def key(kernel):
    """Digest of all that the parts are made of."""
    h = hashlib.sha256(kernel.encode())
    for name in sorted(os.listdir(HERE)):
        path = os.path.join(HERE, name)
        if name.endswith((".S", ".c", ".h", ".ld", ".py")) or name == "init":
            with open(path, "rb") as f:
                h.update(name.encode() + f.read())
    s = os.stat(QEMU)
    h.update(b"%d %d" % (s.st_size, s.st_mtime_ns))
    return h.hexdigest()


@contextlib.contextmanager
def locked():
    """Runs side by side wait for one another here."""
    os.makedirs(BUILD, exist_ok=True)
    with open(os.path.join(BUILD, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kernel_at_hand():
    """Name of the kernel's package: with one fetched, no word with apt, which works with no network."""
    have = sorted(glob.glob(os.path.join(PACKAGES, "linux-image-*[0-9a-z]")))
    have = [d for d in have if not d.endswith((".deb", ".new"))]
    return os.path.basename(have[-1]) if have else kernel_package()


def fetch_linux():
    """The compressed kernel. locked() is held. Raises SetupError."""
    (bzimage,) = glob.glob(fetch(kernel_at_hand()) + "/boot/vmlinuz-*")
    return bzimage


def fetch_busybox():
    """The program. locked() is held. Raises SetupError."""
    tree = fetch("busybox-static")
    (path,) = glob.glob(tree + "/bin/busybox") or glob.glob(tree + "/usr/bin/busybox")
    return path


def prepare():
    """Makes boot.bin, loader.bin, vmlinux and initramfs.cpio in BUILD unless they are there.
    Raises SetupError."""
    check_installed()
    with locked():
        kernel = kernel_at_hand()
        stamp = os.path.join(BUILD, "key")
        wanted = key(kernel)
        if os.path.exists(stamp):
            with open(stamp, encoding="ascii") as f:
                if f.read() == wanted:
                    return
            os.unlink(stamp)
        print("nested: making the image's parts", file=sys.stderr, flush=True)
        tree = fetch(kernel)
        compile_parts()
        for name, data in (("vmlinux", uncompressed_kernel(fetch_linux())),
                           ("initramfs.cpio", initramfs(tree))):
            with open(os.path.join(BUILD, name), "wb") as f:
                f.write(data)
        with open(stamp, "w", encoding="ascii") as f:
            f.write(wanted)
