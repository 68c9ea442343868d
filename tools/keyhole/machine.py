"""Running an image in an emulated machine: Bochs, or QEMU with KVM or without (TCG).

A Machine owns one child process. The child gets SIGKILL when this process dies, however it dies
(PR_SET_PDEATHSIG), and stop() ends it otherwise; nothing is ever killed by name.
"""

import codecs
import ctypes
import fcntl
import functools
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time
import tty
from pathlib import Path

from . import console

RUNNERS = ("kvm", "bochs", "tcg")
BOCHS_CPU = "corei7_skylake_x"
BOCHS_OLD_CPU = "corei7_sandy_bridge_2600k"  # the oldest capabilities that are enough
# What the newest offers but for XSAVES, and a clock of 20 MHz, not 3500: as many instructions are a millisecond
# as the emulator runs in one, so that who waits or sleeps does not cost it 175 times that.
BOCHS_SMP_CPU = "broadwell_ult"
PR_SET_PDEATHSIG = 1
AFTER_PANIC_SECONDS = 3  # for the register dump and the backtrace
AFTER_END_SECONDS = 5  # from the last line to power-off
LOOK_BACK = 4096  # characters before the newest ones in which a line that ends now may begin

OVMF = [("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd")]
BOCHS_ROMS = ["/usr/share/bochs/BIOS-bochs-latest", "/usr/share/vgabios/vgabios-stdvga.bin"]


class MachineError(RuntimeError):
    """The emulator could not be started or controlled; the message says why."""


_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


class Machine:
    """One boot of one image.

    log_dir gets serial.log (COM1), with com2=True com2.log, emulator.log (the emulator's own words) and
    its configuration.
    """

    def __init__(self, iso, log_dir, *, cpus=1, mem=256, firmware="bios", com2=False,
                 typing=False):
        self.iso = Path(iso).resolve()
        self.log_dir = Path(log_dir)
        self.cpus = cpus
        self.mem = mem  # MiB
        self.firmware = firmware
        self.typing = typing  # whether type() will be called
        self.child = None
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        if not self.iso.is_file():
            raise MachineError(f"{self.iso}: no such image")
        shutil.rmtree(self.log_dir, ignore_errors=True)
        self.log_dir.mkdir(parents=True)
        self.serial_path = self.log_dir / "serial.log"
        self.com2_path = self.log_dir / "com2.log" if com2 else None
        self.emulator_path = self.log_dir / "emulator.log"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        raise NotImplementedError

    def _poll_output(self, seconds):
        """Waits up to that long for serial output; returns it ('' if there was none)."""
        raise NotImplementedError

    def type(self, text):
        """Types text or bytes on the serial console, at the pace of its line; the machine was made for
        typing."""
        raise NotImplementedError

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def run(self, seconds, until=console.END_LINE, on_text=None, wait_exit=True, on_turn=None):
        """Runs until the machine ends, or `until` (a regex) was printed, or the time is over.

        With wait_exit, a machine that has printed `until` is given a few seconds to end by itself.
        on_turn() is called every now and then. Returns 'exit', 'until', 'panic' or 'timeout'. self.text holds all serial output.
        """
        deadline = time.monotonic() + seconds
        reason = None
        while True:
            was_alive = self.alive()
            if on_turn:
                on_turn()
            new = self._poll_output(0.05)
            if new:
                self.text += new
                if on_text:
                    on_text(new)
            elif not was_alive:
                return "exit"
            if reason is None and new:
                recent = console.clean(self.text[-len(new) - LOOK_BACK:])
                if console.PANIC.search(recent):
                    reason = "panic"
                    deadline = min(deadline, time.monotonic() + AFTER_PANIC_SECONDS)
                elif until and until.search(recent):
                    reason = "until"
                    if not wait_exit:
                        return reason
                    deadline = min(deadline, time.monotonic() + AFTER_END_SECONDS)
            if time.monotonic() > deadline:
                return reason or "timeout"

    def stop(self):
        """Ends the child if it still runs; idempotent."""
        if self.child is None:
            return
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(1)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()


@functools.cache
def _bochs_has_debugger(program):
    """Whether this Bochs, as Debian 12's, has its own debugger compiled in."""
    text = subprocess.run([program, "-help"], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False, timeout=20)
    return b"-rc filename" in text.stdout + text.stderr


class Bochs(Machine):
    """Bochs, whose `term` display wants a terminal: it gets a pseudo-terminal of its own.

    With its debugger compiled in, Bochs opens one more for the emulated screen, says which, and
    waits for ever once that is full. So it is found, read and thrown away.
    """

    SCREEN = re.compile(rb'Bochs connected to screen "([^"]+)"')
    DEBUGGER = "c\n"  # what its debugger is told

    CONFIG = """\
display_library: term
config_interface: textconfig
plugin_ctrl: sb16=0, es1370=0, voodoo=0
cpu: model={model}, count={cpus}, ips=20000000, reset_on_triple_fault=0
memory: guest={mem}, host={mem}
romimage: file={roms[0]}, options=fastboot
vgaromimage: file={roms[1]}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="{iso}", status=inserted
boot: cdrom
com1: enabled=1, mode={mode}, dev="{serial}"
log: "{log}"
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
clock: sync=none
"""

    def __init__(self, iso, log_dir, *, model=None, **rest):
        super().__init__(iso, log_dir, **rest)
        self.model = model or os.environ.get("BOCHS_CPU") or BOCHS_CPU
        if self.firmware != "bios":
            raise MachineError("Bochs has a BIOS only: take RUNNER=tcg for UEFI")
        self._terminal = None  # descriptors and files, while it runs
        self._screen = None
        self._serial = None
        self._line = None  # with typing: both ends of COM1
        self._chatter = None
        self._said = b""

    def start(self):
        program = shutil.which("bochs")
        if program is None:
            raise MachineError("bochs is missing (packages bochs, bochs-term, bochsbios, vgabios): "
                               "run tools/deps")
        for rom in BOCHS_ROMS:
            if not os.path.exists(rom):
                raise MachineError(f"{rom} is missing (packages bochsbios, vgabios): run tools/deps")
        if self.typing:
            self._line = pty.openpty()
            tty.setraw(self._line[1])
            os.set_blocking(self._line[0], False)
        config = self.log_dir / "bochsrc"
        text = self.CONFIG.format(
            model=self.model, cpus=self.cpus, mem=self.mem, roms=BOCHS_ROMS, iso=self.iso,
            mode="term" if self._line else "file",
            serial=os.ttyname(self._line[1]) if self._line else self.serial_path.resolve(),
            log=self.emulator_path.resolve())
        if self.com2_path:
            text += f'com2: enabled=1, mode=file, dev="{self.com2_path.resolve()}"\n'
        config.write_text(text)
        arguments = [program, "-q", "-f", config]
        if _bochs_has_debugger(program):
            # It would wait at its prompt: "continue".
            commands = self.log_dir / "debugger.rc"
            commands.write_text(self.DEBUGGER)
            arguments += ["-rc", commands]
        self.serial_path.touch()
        self._terminal, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        try:
            self.child = subprocess.Popen(
                arguments, stdin=slave, stdout=slave, stderr=slave,
                env=dict(os.environ, TERM="xterm", LINES="50", COLUMNS="132"),
                start_new_session=True, preexec_fn=_die_with_parent)
        finally:
            os.close(slave)
        self._serial = open(self.serial_path, "wb" if self._line else "rb")
        self._chatter = open(self.log_dir / "terminal.log", "wb")

    def _poll_output(self, seconds):
        wanted = [self._terminal] + ([self._screen] if self._screen is not None else []) + \
            ([self._line[0]] if self._line else [])
        ready, _, _ = select.select(wanted, [], [], seconds)
        if self._terminal in ready:
            try:
                self._read_terminal()
            except OSError:  # the other side is closed: Bochs ends
                time.sleep(seconds)
        if self._screen in ready:
            try:
                os.read(self._screen, 65536)
            except OSError:
                os.close(self._screen)
                self._screen = None
        return self._decoder.decode(self._read_line() if self._line else self._serial.read())

    def _read_line(self):
        """What came from COM1 as a terminal, which is kept in serial.log here."""
        try:
            data = os.read(self._line[0], 65536)
        except BlockingIOError:
            return b""
        self._serial.write(data)
        self._serial.flush()
        return data

    def type(self, text):
        data = as_bytes(text)
        while data and self.alive():
            if select.select([], [self._line[0]], [], 1)[1]:
                data = data[os.write(self._line[0], data):]

    def _read_terminal(self):
        data = os.read(self._terminal, 65536)
        self._chatter.write(data)
        self._said = (self._said + data)[-4096:]
        if m := self.SCREEN.search(self._said):
            self._said = b""
            self._screen = os.open(m[1].decode(), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._screen)

    def stop(self):
        super().stop()
        for f in (self._serial, self._chatter):
            if f:
                f.close()
        for fd in (self._terminal, self._screen, *(self._line or ())):
            if fd is not None:
                os.close(fd)
        self._terminal = self._screen = self._line = None

    def complaints(self):
        """What Bochs itself says of an end by its own fault (panic lines), or of VM entries refused."""
        try:
            lines = self.emulator_path.read_text(errors="replace").splitlines()
        except OSError:
            return []
        wanted = [x for x in lines if "PANIC" in x or ">>PANIC<<" in x or "VMFAIL" in x]
        return [x for x in wanted if "shutdown requested" not in x][-5:]


class Qemu(Machine):
    """QEMU; accel is 'kvm' or 'tcg'. monitor=True gives a monitor connection (see monitor())."""

    def __init__(self, iso, log_dir, *, accel="tcg", monitor=False, serial="stdio",
                 extra=(), **rest):
        super().__init__(iso, log_dir, **rest)
        self.accel = accel
        self.extra = list(extra)
        self.want_monitor = monitor
        self.serial = serial  # "stdio": read by run(); "file": QEMU writes serial.log itself
        self._qmp = None
        self._tmp = None

    def start(self):
        program = shutil.which("qemu-system-x86_64")
        if program is None:
            raise MachineError("qemu-system-x86_64 is missing (package qemu-system-x86): "
                               "run tools/deps")
        args = [program, "-nodefaults", "-machine", "q35", "-accel", self.accel, "-m", str(self.mem),
                "-cpu", "host" if self.accel == "kvm" else "max", "-smp", str(self.cpus),
                "-display", "none", "-vga", "std", "-no-reboot", "-serial",
                "stdio" if self.serial == "stdio" else f"file:{self.serial_path}",
                "-drive", f"if=none,id=cd,media=cdrom,readonly=on,format=raw,file={self._quoted()}",
                "-device", "ide-cd,drive=cd,bootindex=0",
                "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]
        if self.com2_path:
            args += ["-serial", f"file:{self.com2_path}"]
        if self.firmware == "uefi":
            code, variables = ovmf_files()
            args += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}",
                     "-drive", f"if=pflash,format=raw,snapshot=on,file={variables}"]
        if self.want_monitor:
            self._tmp = tempfile.TemporaryDirectory(prefix="keyhole-")
            self._socket = self._tmp.name + "/qmp"
            args += ["-qmp", f"unix:{self._socket},server=on,wait=off"]
        args += self.extra
        (self.log_dir / "command").write_text(" ".join(map(str, args)) + "\n")
        with open(self.emulator_path, "wb") as err:
            self.child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=err,
                                          stdin=subprocess.PIPE if self.typing
                                          else subprocess.DEVNULL,
                                          start_new_session=True, preexec_fn=_die_with_parent)
        os.set_blocking(self.child.stdout.fileno(), False)
        self._log = open(self.serial_path, "wb") if self.serial == "stdio" else None

    def _quoted(self):
        return str(self.iso).replace(",", ",,")

    def _poll_output(self, seconds):
        ready, _, _ = select.select([self.child.stdout], [], [], seconds)
        if not ready:
            return ""
        data = self.child.stdout.read() or b""
        if not data:
            time.sleep(seconds)  # end of file: the child is about to end
        self._log.write(data)
        self._log.flush()
        return self._decoder.decode(data)

    def type(self, text):
        self.child.stdin.write(as_bytes(text))
        self.child.stdin.flush()

    def monitor(self, command, cpu=0):
        """Runs a command of QEMU's human monitor, seen from a CPU, and returns what it prints."""
        if self._qmp is None:
            self._connect()
        answer = self._request("human-monitor-command",
                               {"command-line": command, "cpu-index": cpu})
        return answer.replace("\r", "")

    def _connect(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(self._socket)
        self._qmp = sock.makefile("rw", encoding="utf-8")
        self._sock = sock
        json.loads(self._qmp.readline())  # the greeting
        self._request("qmp_capabilities", {})

    def _request(self, name, arguments):
        self._qmp.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._qmp.flush()
        while line := self._qmp.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise MachineError(f"QEMU's monitor: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise MachineError("QEMU closed its monitor")

    def stop(self):
        if self._qmp is not None:
            self._qmp.close()
            self._sock.close()
            self._qmp = None
        super().stop()
        if self.child is not None:
            self.child.stdout.close()
            if self.typing:
                self.child.stdin.close()
            if self._log:
                self._log.close()
        if self._tmp is not None:
            self._tmp.cleanup()
            self._tmp = None

    def complaints(self):
        """What QEMU said on its standard error."""
        try:
            lines = self.emulator_path.read_text(errors="replace").splitlines()
        except OSError:
            return []
        return [x for x in lines if "terminating on signal" not in x][-5:]


def ovmf_files():
    for code, variables in OVMF:
        if os.path.exists(code) and os.path.exists(variables):
            return code, variables
    raise MachineError("UEFI firmware for QEMU is missing (package ovmf): run tools/deps")


def make(runner, iso, log_dir, **options):
    """A Machine of that runner ('kvm', 'bochs', 'tcg')."""
    if runner == "bochs":
        return Bochs(iso, log_dir, **options)
    options.pop("model", None)
    return Qemu(iso, log_dir, accel=runner, **options)
