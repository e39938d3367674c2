# SPDX-License-Identifier: GPL-2.0-or-later
"""One picture: overhead on the array writer by technique and size. Drawn by gnuplot; without it there is no picture."""
import subprocess


def overheads(rows, out):
    data = {}
    for r in rows:
        if r["workload"].startswith("array-") and r["workload"][6:].isdigit() and r["technique"] != "none" and r["overhead_percent"] is not None:
            data.setdefault(r["technique"], []).append((int(r["workload"][6:]), max(r["overhead_percent"], 0.01)))
    if not data:
        return None
    script = ["set terminal svg size 720,440 font 'sans,12' background 'white'", f"set output '{out}'", "set logscale xy",
              "set xlabel 'array, MB'", "set ylabel 'overhead on the tracked program, %'", "set grid", "set key outside bottom center horizontal",
              "set title 'Array writer: every word, round after round (virtual cycles)'",
              "plot " + ", ".join(f"'-' with linespoints lw 2 pt 7 title '{t}'" for t in data)]
    for t in data:
        script += [f"{x} {y}" for x, y in sorted(data[t])] + ["e"]
    try:
        r = subprocess.run(["gnuplot"], input="\n".join(script), text=True, capture_output=True)
    except FileNotFoundError:
        return None
    return out if r.returncode == 0 else None
