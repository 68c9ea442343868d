"""Running Spin on a model: translated to C, compiled, searched whole."""

import re
import shutil
import subprocess
from dataclasses import dataclass


class ModelError(RuntimeError):
    """The model could not be checked; the message says why."""


@dataclass
class Run:
    errors: int
    states: int
    text: str


def mistakes(path):
    """The -D options that the model's first comment names: each must break its property."""
    head = path.read_text(encoding="utf-8").partition("*/")[0]
    return re.findall(r"^ \*\t-D(\w+)", head, re.M)


def check(path, define, folder):
    """Searches all states of a model, with one of its mistakes or none (None)."""
    if shutil.which("spin") is None:
        raise ModelError("spin is missing (package spin): run tools/deps")
    where = (folder / f"{path.stem}-{define or 'right'}").resolve()
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    options = [f"-D{define}"] if define else []
    _run(["spin", *options, "-a", path.resolve()], where)
    # -O2 would take longer to compile than it saves.
    _run(["gcc", "-O1", "-w", "-DSAFETY", "-DMEMLIM=512", "-o", "pan", "pan.c"], where)
    done = _run(["./pan", "-m100000"], where)
    errors = re.search(r"errors: (\d+)", done)
    states = re.search(r"(\d+) states, stored", done)
    if not errors or not states:
        raise ModelError(f"{path.name}: no verdict:\n{done}")
    # A search that was cut short has proved nothing; a mistake found has.
    if int(errors[1]) == 0 and ("Search not completed" in done or "max search depth" in done):
        raise ModelError(f"{path.name}: the search was not completed:\n{done}")
    return Run(int(errors[1]), int(states[1]), done)


def _run(command, where):
    done = subprocess.run(command, cwd=where, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120, check=False)
    text = done.stdout + done.stderr
    if done.returncode != 0:
        raise ModelError(f"{command[0]} failed:\n{text}")
    return text
