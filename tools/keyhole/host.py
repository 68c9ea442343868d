"""What this machine can run, and for each thing it cannot, the exact cause and the remedy.

Everything is read below a root directory, so that the decisions can be tested with a made-up /proc,
/sys and /dev. The one thing that is asked of the living kernel, whether KVM offers VMX to a guest,
comes as a function.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

KVM_CREATE_VM = 0xAE01
KVM_GET_SUPPORTED_CPUID = 0xC008AE05
CPUID_ENTRIES = 256
CPUID_ENTRY = struct.Struct("<10I")  # function, index, flags, eax, ebx, ecx, edx, padding[3]
CPUID_1_ECX_VMX = 1 << 5


@dataclass
class Finding:
    """One line of the doctor's report: state is 'ok', 'no' or 'note'."""

    state: str
    subject: str
    cause: str = ""
    remedy: str = ""

    def lines(self):
        head = f"{self.state:4}  {self.subject}"
        out = [head + (f": {self.cause}" if self.cause else "")]
        if self.remedy:
            out += [f"      remedy: {line}" if i == 0 else f"              {line}"
                    for i, line in enumerate(self.remedy.split("\n"))]
        return out


def probe_kvm(path):
    """Asks /dev/kvm whether it makes virtual machines and offers them VMX.

    Returns None if so, else the cause in words.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        return f"{path} does not open: {e.strerror}"
    try:
        try:
            os.close(fcntl.ioctl(fd, KVM_CREATE_VM, 0))
        except OSError as e:
            return f"KVM cannot make a virtual machine: {e.strerror}"
        table = bytearray(struct.pack("<II", CPUID_ENTRIES, 0) + bytes(40 * CPUID_ENTRIES))
        try:
            fcntl.ioctl(fd, KVM_GET_SUPPORTED_CPUID, table)
        except OSError as e:
            return f"KVM does not say which CPU it offers: {e.strerror}"
        count = struct.unpack_from("<I", table)[0]
        for i in range(count):
            function, _, _, _, _, ecx, *_ = CPUID_ENTRY.unpack_from(table, 8 + 40 * i)
            if function == 1:
                return None if ecx & CPUID_1_ECX_VMX else "KVM offers its guests no VMX"
        return "KVM offers no CPUID leaf 1"
    finally:
        os.close(fd)


class Host:
    """This machine, or one described by files below `root`."""

    def __init__(self, root="/", probe=probe_kvm, uid=None, groups=None, have=None):
        self.root = Path(root)
        self.probe = probe
        self.uid = os.getuid() if uid is None else uid
        self.groups = os.getgroups() if groups is None else groups
        self._have = have

    def _read(self, path):
        try:
            return (self.root / path).read_text(errors="replace")
        except OSError:
            return None

    def have(self, program):
        """Whether a program can be found."""
        if self._have is not None:
            return program in self._have
        return shutil.which(program) is not None

    def _cpu(self):
        """(vendor, flags, model name) of the first CPU."""
        vendor, flags, name = "", set(), "unknown CPU"
        for line in (self._read("proc/cpuinfo") or "").splitlines():
            key, _, value = line.partition(":")
            key, value = key.strip(), value.strip()
            if key == "vendor_id":
                vendor = value
            elif key == "model name":
                name = value
            elif key == "flags":
                flags = set(value.split())
                break
        return vendor, flags, name

    def _nested(self):
        """The value of kvm_intel's parameter, '' if the module is not loaded."""
        return (self._read("sys/module/kvm_intel/parameters/nested") or "").strip()

    def kvm_findings(self):
        """Why nested KVM works or does not: the first obstacle, and those that can be seen beside it."""
        vendor, flags, name = self._cpu()
        found = [Finding("note", "CPU", f"{name} ({vendor or 'vendor unknown'})")]
        if vendor in ("AuthenticAMD", "HygonGenuine"):
            found.append(Finding("no", "VT-x", "this is an AMD CPU, and Keyhole needs Intel's VT-x and EPT",
                                 "none on this machine for KVM: Bochs emulates an Intel CPU"))
            return found
        if "vmx" not in flags:
            if "hypervisor" in flags:
                found.append(Finding(
                    "no", "VT-x", "this machine is itself a virtual machine and is not given VT-x",
                    "on its host: kvm_intel with nested=1, and this machine with the CPU model "
                    "`host`\n(libvirt: <cpu mode='host-passthrough'/>); clouds call it nested "
                    "virtualization"))
            elif vendor != "GenuineIntel":
                found.append(Finding("no", "VT-x", "this is no Intel CPU",
                                     "none on this machine for KVM: Bochs emulates an Intel CPU"))
            else:
                found.append(Finding(
                    "no", "VT-x", "the CPU does not offer it (no `vmx` in /proc/cpuinfo)",
                    "switch on \"Intel Virtualization Technology\" (VT-x, VMX) in the firmware's "
                    "setup\nand power the machine off and on; very old or small CPUs lack it"))
            found.append(self._dev_kvm_note())
            return [f for f in found if f]
        found.append(Finding("ok", "VT-x"))
        if "ept" not in flags:
            found.append(Finding("no", "EPT", "the CPU has VT-x without extended page tables",
                                 "none on this machine for KVM: Bochs emulates a newer CPU"))
        if not (self.root / "sys/module/kvm_intel").exists():
            found.append(Finding("no", "KVM", "the module kvm_intel is not loaded",
                                 "modprobe kvm_intel nested=1     (as root)"))
            return found
        nested = self._nested()
        if nested not in ("Y", "1"):
            found.append(Finding(
                "no", "nested VT-x", f"kvm_intel's parameter nested is {nested or 'not there'}",
                "with no virtual machine running, as root:\n"
                "modprobe -r kvm_intel && modprobe kvm_intel nested=1\n"
                "and for good: echo 'options kvm_intel nested=1' > /etc/modprobe.d/kvm-nested.conf"))
        else:
            found.append(Finding("ok", "nested VT-x"))
        found.append(self._dev_kvm())
        if all(f.state != "no" for f in found):
            cause = self.probe(str(self.root / "dev/kvm"))
            if cause:
                found.append(Finding("no", "KVM", cause, "look at `dmesg | grep -i kvm`"))
            else:
                found.append(Finding("ok", "KVM offers VMX to its guests", "asked it"))
        return found

    def _dev_kvm_note(self):
        if (self.root / "dev/kvm").exists():
            return Finding("note", "/dev/kvm", "is there, and still gives guests no VT-x")
        return None

    def _dev_kvm(self):
        path = self.root / "dev/kvm"
        if not path.exists():
            return Finding("no", "/dev/kvm", "does not exist",
                           "modprobe kvm_intel     (as root); in a container: start it with "
                           "--device /dev/kvm")
        if not self._accessible(path):
            return Finding("no", "/dev/kvm", f"may not be opened for reading and writing ({_mode(path)})",
                           "usermod -aG kvm \"$USER\"     (as root), then log in again")
        return Finding("ok", "/dev/kvm", "opens for reading and writing")

    def _accessible(self, path):
        """By the permission bits, for a person other than root too."""
        st = path.stat()
        if self.uid == 0:
            return True
        shift = 6 if st.st_uid == self.uid else 3 if st.st_gid in self.groups else 0
        return (st.st_mode >> shift) & 6 == 6

    def kvm_obstacle(self):
        """The first reason why nested KVM does not work here, or None."""
        bad = next((f for f in self.kvm_findings() if f.state == "no"), None)
        if bad:
            return f"{bad.subject}: {bad.cause}"
        return None if self.have("qemu-system-x86_64") else "QEMU is missing"

    def tool_findings(self):
        """The programs each runner needs."""
        found = []
        for program, packages, what in (
                ("qemu-system-x86_64", "qemu-system-x86", "runs under KVM and TCG"),
                ("bochs", "bochs bochs-term bochsbios vgabios", "runs with emulated VT-x"),
                ("grub-mkrescue", "grub-common grub-pc-bin grub-efi-amd64-bin", "makes the image"),
                ("xorriso", "xorriso", "makes the image"),
                ("mformat", "mtools", "makes the image bootable by UEFI"),
                ("gcc", "gcc", "compiles"), ("ld", "binutils", "links")):
            found.append(Finding("ok", program) if self.have(program) else
                         Finding("no", program, f"is missing; it {what}",
                                 f"apt-get install {packages}     (as root), or tools/deps"))
        for path, package, what in (
                ("usr/share/bochs/BIOS-bochs-latest", "bochsbios", "Bochs's BIOS"),
                ("usr/share/vgabios/vgabios-stdvga.bin", "vgabios", "Bochs's VGA BIOS"),
                ("usr/lib/grub/i386-pc", "grub-pc-bin", "GRUB for BIOS"),
                ("usr/lib/grub/x86_64-efi", "grub-efi-amd64-bin", "GRUB for UEFI"),
                ("usr/share/OVMF", "ovmf", "UEFI for QEMU")):
            found.append(Finding("ok", what) if (self.root / path).exists() else
                         Finding("no", what, f"/{path} is missing",
                                 f"apt-get install {package}     (as root), or tools/deps"))
        return found

    def package_findings(self, packages_file):
        """Packages of tools/packages.txt that are not installed, asked of dpkg."""
        names = package_names(packages_file)
        try:
            done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *names],
                                  capture_output=True, text=True, check=False)
        except OSError:
            return [Finding("note", "packages", "this is no Debian system: the programs above count")]
        installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith("ii ")
                     or line.split()[-1] == "ii"}
        missing = [n for n in names if n not in installed]
        if not missing:
            return [Finding("ok", "packages", f"all {len(names)} are installed")]
        return [Finding("no", "packages", "missing: " + " ".join(missing), "tools/deps")]

    def choose_runner(self, wanted=None):
        """(runner, why). `wanted` is RUNNER from the environment; a wrong one raises ValueError."""
        if wanted:
            if wanted not in ("kvm", "bochs", "tcg"):
                raise ValueError(f'RUNNER={wanted}: choose kvm, bochs or tcg')
            return wanted, "RUNNER asks for it"
        why = self.kvm_obstacle()
        if why is None:
            return "kvm", "nested VT-x works here"
        return "bochs", f"Bochs emulates VT-x, for KVM is out: {why}"


def package_names(packages_file, groups=None):
    """Names from tools/packages.txt: `group package  # why`."""
    names = []
    for line in Path(packages_file).read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words and (groups is None or words[0] in groups):
            names.append(words[1])
    return names


def _mode(path):
    st = path.stat()
    return f"mode {st.st_mode & 0o777:o}, owner {st.st_uid}:{st.st_gid}"
