"""make trace: the text on COM2, the picture and the table; counts held against what guests did."""

import json
import os
import subprocess

import pytest
from conftest import BUILD, ROOT
from keyhole import machine, trace

FEW, MANY = (20, 10), (320, 160)  # CPUIDs and calls of the two guests
GUESTS = " ".join(f"{BUILD}/guests/trace.elf:name={name},mem=4M,cmdline='cpuids={c} calls={h}'"
                  for name, (c, h) in (("few", FEW), ("many", MANY)))
CPUID, CALL = 10, trace.HYPERCALL + 17  # xen_version


def line(text):
    return f"trace: {text} #{trace.checksum(f'trace: {text} '):08x}\r\n"


WHOLE = (line("begin 1000 1") + line("domain 1 a") + line("exits 1 10 2 300") + line("cpu 0 5")
         + line("e 0 3e8,1000001,0 64,1000a00,64 c8,1000a00,c8 64,3,1") + line("end 5"))


def test_trace_parse():
    found = trace.parse("noise\r\n" + WHOLE)
    assert (found.khz, found.cpus, found.lost) == (1000, 1, {0: 5})
    assert [e.tsc for e in found.events[0]] == [1000, 1100, 1300, 1400]
    text = trace.summary(found)
    assert "CPUID" in text and "300" in text and "150.0" in text and "5 older ones" in text
    exits = [e for e in trace.picture(found)["traceEvents"] if e["name"] == "CPUID"]
    assert [(e["ts"], e["dur"]) for e in exits] == [(0, 100), (100, 200)]


@pytest.mark.parametrize("damage", [
    lambda t: t.replace("3e8", "3e9"), lambda t: t.replace(line("domain 1 a"), ""),
    lambda t: t.replace(line("end 5"), ""), lambda t: ""])
def test_trace_damaged(damage):
    with pytest.raises(trace.TraceError):
        trace.parse(damage(WHOLE))


def check_picture(picture, results):
    """The Trace Event Format, as far as it is used."""
    events = [e for e in picture["traceEvents"] if e["ph"] != "M"]
    named = {(e["pid"], e["tid"]) for e in picture["traceEvents"] if e["name"] == "thread_name"}
    results.check(all(e["ph"] in "Xi" and e["name"] and e["ts"] >= 0 for e in events)
                  and all(e.get("dur", -1) >= 0 for e in events if e["ph"] == "X"),
                  "the picture holds complete and instant events only, in positive time")
    results.check({(e["pid"], e["tid"]) for e in events} <= named, "each track has a name")
    late, before = [], {}
    for e in events:
        track = e["pid"], e["tid"]
        start, end = before.get(track, (0, 0))
        if e["ts"] < start or (e["ph"] == "X" and e["ts"] < end - 0.001):
            late.append(e)
        before[track] = (e["ts"], max(end, e["ts"] + e["dur"]) if e["ph"] == "X" else end)
    results.check(not late, "events of a track are in order, and what has a length never overlaps", str(late[:3]))


@pytest.mark.timeout(200)
@pytest.mark.parametrize("model, cpus", [(machine.BOCHS_CPU, 2), (machine.BOCHS_OLD_CPU, 1)])
def test_trace_run(model, cpus, tap_results, log_dir):
    (log_dir / "guests").mkdir(parents=True, exist_ok=True)
    (log_dir / "keyhole.elf").write_bytes((BUILD / "keyhole.elf").read_bytes())
    done = subprocess.run([ROOT / "tools/trace", "--build", log_dir], cwd=ROOT, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180,
                          env=dict(os.environ, RUNNER="bochs", GUESTS=GUESTS, BOCHS_CPU=model,
                                   CPUS=str(cpus)))
    assert done.returncode == 0, done.stdout
    found = trace.parse((log_dir / "logs/trace/com2.log").read_text())
    few, many = sorted(found.names, key=lambda d: found.names[d])
    for code, index in ((CPUID, 0), (CALL, 1)):
        counts = [found.exits[d, code][0] for d in (few, many)]
        tap_results.check(counts[1] - counts[0] == MANY[index] - FEW[index],
                          f"code {code}: exits differ by what the guests differ", str(counts))
    tap_results.check(not any(found.lost.values()), "no event was lost", str(found.lost))
    seen = {}
    for e in (e for events in found.events.values() for e in events if e.kind == trace.EXIT):
        count, ticks = seen.get((e.domain, e.code), (0, 0))
        seen[e.domain, e.code] = (count + 1, ticks + e.value)
    tap_results.check(seen == found.exits, "the sums are those of the events")
    tap_results.check(min(e.value for e in found.events[0] if e.code == CPUID) < 150,
                      "a CPUID costs what it costs")
    tap_results.check(f" {found.exits[many, CPUID][0]} " in done.stdout and "VMCALL xen_version" in done.stdout,
                      "the table says so, with names")
    check_picture(json.loads((log_dir / "trace.json").read_text()), tap_results)
    tap_results.finish()
