"""The keys of the person's terminal, for the serial console of a running machine."""

import os
import select
import sys
import termios

PREFIX = b"\x01"  # Ctrl-A, as on other consoles; three of them are for the hypervisor
QUIT = b"x"
HELP = "Ctrl-A x ends the run; Ctrl-A three times: what is typed goes to the next guest, or to the monitor"
LFLAG, CHARACTERS = 3, 6  # of termios.tcgetattr()


class Quit(Exception):
    """The person wants to end the run."""


class Keys:
    """Within `with`, a function to be called every now and then. It hands what was typed, as bytes, to
    type_on(), and raises Quit. The terminal shows none of it; every_key: nor takes Ctrl-C and the like.
    """

    def __init__(self, type_on, every_key, fd=None):
        self._type_on = type_on
        self._every_key = every_key
        self._fd = sys.stdin.fileno() if fd is None else fd
        self._prefixed = False

    def __enter__(self):
        self._before = termios.tcgetattr(self._fd)
        raw = termios.tcgetattr(self._fd)
        # Output stays as it is: its lines shall begin at the left.
        raw[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP)
        raw[LFLAG] &= ~(termios.ICANON | termios.ECHO)
        if self._every_key:
            raw[0] &= ~termios.IXON
            raw[LFLAG] &= ~(termios.ISIG | termios.IEXTEN)
        raw[CHARACTERS][termios.VMIN], raw[CHARACTERS][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSADRAIN, raw)
        return self._forward

    def __exit__(self, *_):
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def _forward(self):
        if not select.select([self._fd], [], [], 0)[0]:
            return
        typed = os.read(self._fd, 1024)
        if not typed or PREFIX + QUIT in (PREFIX if self._prefixed else b"") + typed:
            raise Quit  # or the terminal is gone
        self._prefixed = typed.endswith(PREFIX)
        self._type_on(typed)
