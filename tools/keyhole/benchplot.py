"""The plots of cost against load and against the number of processors, drawn by gnuplot."""

import shutil
import subprocess

PANELS = [("map window", {"window_fixed": "open and close"}),
          ("PA→VA hash", {"pahash_lookup": "look-up", "pahash_insert_remove": "insert and remove"}),
          ("EPT", {"gfn_walk": "look-up", "ept_unmap_map": "unmap and map a page"})]


class PlotError(RuntimeError):
    """There is no plot; the message says why."""


def script(load, output):
    """gnuplot's commands, data included."""
    lines = ["set encoding utf8",
             "set terminal svg size 1200,420 dynamic background rgb 'white' font 'sans,13'",
             f"set output '{output}'",
             "set multiplot layout 1,3 title 'Instructions against load (Bochs)'",
             "set logscale x 10", "set format x '10^{%T}'", "set xrange [0.7:1.5e6]",
             "set yrange [0:*]", "set xlabel 'entries'", "set ylabel 'instructions'",
             "set key top left", "set grid", "set offsets 0, 0, graph 0.25, 0"]
    for title, curves in PANELS:
        there = {name: text for name, text in curves.items() if name in load}
        if not there:
            raise PlotError(f"no figures for the panel {title}")
        lines.append(f"set title '{title}'")
        lines.append("plot " + ", ".join(
            f"'-' using 1:2 with linespoints pt 7 lw 2 title '{text}, mean', "
            f"'-' using 1:2 with points pt 2 title '{text}, maximum'" for text in there.values()))
        for name in there:
            for column in (1, 2):
                lines += [f"{point[0]} {point[column]}" for point in load[name]] + ["e"]
    return "\n".join(lines + ["unset multiplot"]) + "\n"


def scale_script(medians, output):
    """The same for rows (name -> {processors: ticks}) that grow with the number of processors."""
    counts = sorted({int(c) for points in medians.values() for c in points})
    lines = ["set encoding utf8",
             "set terminal svg size 900,520 dynamic background rgb 'white' font 'sans,13'",
             f"set output '{output}'", "set title 'Ticks against processors (Bochs)'", "set logscale x 2",
             f"set xrange [{counts[0] * 0.9}:{counts[-1] * 1.1}]", "set yrange [0:*]",
             "set xtics (" + ", ".join(map(str, counts)) + ")", "set xlabel 'processors'",
             "set ylabel 'ticks'", "set key outside right noenhanced", "set grid"]
    names = sorted(medians)
    lines.append("plot " + ", ".join(f"'-' using 1:2 with linespoints pt 7 lw 2 title '{name}'" for name in names))
    for name in names:
        lines += [f"{c} {ticks}" for c, ticks in medians[name].items()] + ["e"]
    return "\n".join(lines) + "\n"


def draw(commands):
    if shutil.which("gnuplot") is None:
        raise PlotError("gnuplot is missing (package gnuplot-nox): run tools/deps bench")
    done = subprocess.run(["gnuplot"], input=commands, text=True, capture_output=True,
                          check=False)
    if done.returncode != 0 or "error" in done.stderr.lower():
        raise PlotError("gnuplot: " + done.stderr.strip())
