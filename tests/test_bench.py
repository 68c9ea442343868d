"""The instruction counts of `make bench` against those in tests/bench-baseline.json.

A count that grows by more than 5 % fails until that file changes with it (`make bench-baseline`).
The counts hold for one compiler, which the file names: with another one the comparison is skipped.
"""

import os
import subprocess

import pytest
from conftest import BUILD, LOGS, ROOT
from keyhole import bench, benchmemory, benchpeer, benchplot, benchrows, benchscale, benchtrace, machine


def build_bench():
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "BUILD", "T", "GUESTS")}
    done = subprocess.run(["make", "-s", "--no-print-directory", f"BUILD={BUILD}/bench",
                           "CONFIG_BENCH=1", "all"], cwd=ROOT, env=env, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_bench_counts(tap_results, log_dir):
    build_bench()
    image = LOGS / "bench-test.iso"
    bench.make_image(image, BUILD / "bench/keyhole.elf", BUILD)
    figures = bench.run(image, log_dir)
    image.unlink()
    wanted = {row.name for row in benchrows.ROWS if not row.missing}
    tap_results.check(wanted <= set(figures.rows), "every row that can be measured is",
                      f"missing: {', '.join(sorted(wanted - set(figures.rows)))}")
    baseline = bench.load_baseline()
    if (here := bench.compiler()) != baseline["compiler"]:
        tap_results._count("skipped", "comparison with tests/bench-baseline.json",
                           f"it was made with {baseline['compiler']}, this is {here}")
    else:
        for name, now, then, good in bench.compare(figures, baseline):
            tap_results.check(good, f"{name}: {now} instructions, {then} in the baseline",
                              "if the change is meant: make bench-baseline, in the same commit")
    tap_results.finish()


def test_bench_scale_ticks(tap_results):
    found = benchscale.measure(BUILD, BUILD / "keyhole.elf", *benchscale.COMPARED)
    baseline = bench.load_baseline()
    if (here := bench.compiler()) != baseline["compiler"]:
        tap_results._count("skipped", "comparison of ticks", f"made with {baseline['compiler']}, this is {here}")
    else:
        for name, now, then, good in benchscale.compare(found, baseline["scale"]):
            tap_results.check(good, f"{name}: {now} ticks, {then} in the baseline",
                              "if the change is meant: make bench-baseline, in the same commit")
    tap_results.finish()


def test_bench_scale_lines():
    text = ("[scale] scale: ipi cpus=2 samples=100 median=800 mean=801 max=900\r\n"
            "[s0] scale: yield_switch cpus=2 samples=100 median=7 mean=8 max=9\n[scale] scale: x cpus=2\n")
    found = {name: {"2": point} for name, point in benchscale.parse(text).items()}
    assert benchscale.medians(found) == {"ipi": {"2": 800}, "yield_switch": {"2": 7}}
    assert "ipi" in benchscale.table(found) and benchscale.as_json(found)[0]["cpus"]["2"]["max"] == 900
    base = {"ipi": {"2": 720}, "yield_switch": {"2": 7}, "gone": {"2": 1}}
    assert [g for *_, g in benchscale.compare(found, base)] == [False, False, True]
    assert "8 5" in benchplot.scale_script({"a": {"1": 4, "8": 5}}, "x.svg")


def test_bench_comparison():
    base = {"insns": {"a": 100.0, "b": 100.0, "gone": 1.0}}
    figures = bench.Figures(rows={"a": (105.0, 105, 1), "b": (105.1, 106, 1), "new": (1.0, 1, 1)})
    good = {name: ok for name, _, _, ok in bench.compare(figures, base)}
    assert good == {"a": True, "b": False, "gone": False, "new": False}


def test_bench_lines():
    text = ("keyhole: bench: window_fixed samples=2000 mean=12.500 max=14\r\n"
            "keyhole: trace: window_fixed\n[bench] bench: cpuid_exit samples=1000 mean=99.000 max=99\n"
            "[touch] bench: ept_populate_scrub samples=7 mean=1.250 max=2\n"
            "keyhole: load: gfn_walk entries=10 mean=66.000 max=67\nbench: x samples=1 mean=1.0 max=1x\n")
    figures = bench.parse(text)
    assert figures.rows == {"window_fixed": (12.5, 14, 2000), "cpuid_exit": (99.0, 99, 1000),
                            "ept_populate_scrub": (1.25, 2, 7)}
    assert figures.load == {"gfn_walk": [(10, 66.0, 67)]}
    assert figures.traced == ["window_fixed"]


@pytest.mark.parametrize("text, serialising, locked", [
    ("invlpg byte ptr ds:[rax]", 1, 0), ("invept rax, oword ptr ds:[rsp]", 1, 0),
    ("mov cr3, rax", 1, 0), ("mov rax, cr3", 0, 0), ("mov dr6, rax", 1, 0), ("wrmsr", 1, 0),
    ("rdmsr", 0, 0), ("lock cmpxchg qword ptr ds:[rdx], rcx", 0, 1),
    ("xchg qword ptr ds:[rdx], rax", 0, 1), ("xchg bx, bx", 0, 0), ("vmresume", 0, 0)])
def test_bench_trace_counts(text, serialising, locked):
    trace = benchtrace.Trace()
    benchtrace._count(trace, 0xffffffff80200010, text, [0xffffffff80200000], ["f"])
    assert (trace.serialising, trace.locked, trace.functions["f"]) == (serialising, locked, 1)


def test_bench_traces_are_complete(tmp_path):
    listing = tmp_path / "terminal.log"
    listing.write_text("Tracing enabled for CPU0\n"
                       "(0).[7] [0x000000220b6e] 0008:ffffffff80220b6e (unk. ctxt): push rax   ; 50\n"
                       "(0) Magic breakpoint\nTracing disabled for CPU0\n")
    elf = BUILD / "keyhole.elf"
    assert benchtrace.parse(listing, ["one"], elf)["one"].insns == 1
    with pytest.raises(machine.MachineError, match="1 traces, 2 were announced"):
        benchtrace.parse(listing, ["one", "two"], elf)


MAP_LINES = ["audit:        7          - EPT             d1", "audit:        2          - EPT             d2",
             "map: ram 65536 free 60000 guests 4000", "map: 0xffff800000000000 256 frame-table host rw-",
             "map: 0xffff900000400000 9 tables.used host rw-",
             "map: 0xffffffff80201000 36 image.text host r-x"]


def memory_lines(*more, guests=0):
    count = 3 + sum(line.startswith("map: 0x") for line in more)
    return [*MAP_LINES, *more, f"map: end {count}", "audit:        9          - EPT             d1",
            f"audit: cpu0 ok, 301 pages mapped of 65536, {guests} of any guest"]


def test_bench_memory():
    s = benchmemory.sample(memory_lines(), cpus=2)
    assert (s.image, s.mapped, s.ept, s.guest_pages) == (144, 301 * 4, 36, 0)
    assert s.bookkeeping == (65536 - 60000 - 4000 - 36) * 4
    assert s.bookkeeping_goal == 1024 + 36 + 2048 + 2 * 128
    book, mapped = benchmemory.row_pair("256m", 256, s, None, "no build")
    assert bench.verdict(book) == "1.8 times the goal" and bench.verdict(mapped) == "reached"
    assert book["peer"] == 2048 and book["reason"] == "direct_map: no build"
    rows = benchmemory.row_pair("64g", 65536, None, "no QEMU", "too large")
    assert bench.verdict(rows[1]) == "not measured" and "no QEMU" in rows[1]["reason"]
    assert "bookkeeping of 64 GiB" in bench.memory_table(rows)


def test_bench_memory_sees_guests():
    window = "map: 0xffffffff80300000 1 private.window cpu0 rw-"
    for lines in (memory_lines(window), memory_lines(guests=1)):
        s = benchmemory.sample(lines, cpus=1)
        row = benchmemory.row_pair("256m", 256, s, None, "no build")[1]
        assert bench.verdict(row) == "1 pages of guests mapped"
    with pytest.raises(ValueError):
        benchmemory.sample(MAP_LINES, cpus=1)
    direct = memory_lines("map: 0xffffffff80400000 70000 direct-map host rw-")
    with pytest.raises(ValueError):
        benchmemory.sample(direct, cpus=1)
    assert benchmemory.sample(direct, cpus=1, direct_map=True).mapped == 65536 * 4


PEER_TEXT = "bench: cpuid_exit samples=1000 mean=1008.500 max=11375\nok 1 - every page came\n1..1\n"


def test_bench_peer():
    errors = "nested: logs\n  20.3| L0: Linux 6.1.0-x is up\nnested: ended\n"
    figures, name = benchpeer.judge("kvm", 0, PEER_TEXT, errors)
    rows = [{"name": "cpuid_exit", "peer": 875, "peer_name": "Xen"},
            {"name": "copy_in", "peer": 4970, "peer_name": "Xen"}]
    benchpeer.apply(rows, figures, name)
    assert rows[0] == {"name": "cpuid_exit", "peer": 1008.5, "peer_max": 11375,
                       "peer_name": "KVM 6.1.0", "peer_measured": True}
    assert rows[1]["peer"] == 4970 and not rows[1]["peer_measured"]


@pytest.mark.parametrize("status, text, errors, why", [
    (3, "", "x\nnested: set-up failed: not installed: apt-get install lz4\n", "apt-get install lz4"),
    (1, "", "nested: 200 seconds are up\n", "seconds are up"), (0, "1..0\n", "", "no word"),
    (0, PEER_TEXT + "not ok 2 - y\n", "", "not ok 2")])
def test_bench_peer_fails(status, text, errors, why):
    with pytest.raises(bench.BenchError, match=why):
        benchpeer.judge("kvm", status, text, errors)
    with pytest.raises(bench.BenchError, match="there is kvm"):
        benchpeer.measure("vmware", BUILD, LOGS / "none")
