"""`make bench PEER=kvm`: the same guest under KVM, on Debian's own Linux in Bochs (tools/nested)."""

import os
import re
import subprocess

from . import ROOT, bench

SECONDS = 200
NO_SETUP = 3  # status of tools/nested/run: the last line of its errors says why
PLAN = r"^1\.\.\d+"  # the guest's last line
LINUX = re.compile(r"L0: Linux (\d+(?:\.\d+)*)\S* is up")
PEERS = ("kvm",)


def measure(peer, build, log_dir):
    """Figures, and the peer's name; raises bench.BenchError."""
    if peer not in PEERS:
        raise bench.BenchError(f"PEER={peer}: there is {' and '.join(PEERS)}")
    log_dir.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, L1_VMM="exits", TRACE="", LINGER="1", RUN_DIR=str(log_dir.resolve()))
    done = subprocess.run([ROOT / "tools/nested/run", build / "guests/bench.elf", str(SECONDS), PLAN],
                          env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", check=False)
    return judge(peer, done.returncode, done.stdout, done.stderr)


def judge(peer, status, text, errors):
    """What measure() returns, from what tools/nested/run printed."""
    last = (errors.strip().splitlines() or ["no word why"])[-1].removeprefix("nested: ")
    if status == NO_SETUP:
        raise bench.BenchError(f"PEER={peer} cannot be measured here: {last}")
    bad = [x for x in text.splitlines() if x.startswith(("not ok", "Bail out!"))]
    figures = bench.parse(text)
    if status or bad or not figures.rows:
        raise bench.BenchError(f"PEER={peer}: {'; '.join(bad) or last}")
    linux = LINUX.search(errors)
    return figures, f"KVM {linux[1]}" if linux else "KVM"


def apply(rows, figures, name):
    """Puts what was measured in the place of quoted figures; rows as in bench.json."""
    for row in rows:
        row["peer_measured"] = row["name"] in figures.rows
        if row["peer_measured"]:
            mean, most, _ = figures.rows[row["name"]]
            row.update(peer=mean, peer_max=most, peer_name=name)
