# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: real programs, every technique, one table; and what it is made of, for others to measure again."""
import json

from . import machine, picture
from .common import BUILD, LAB, MISMATCH, OK, Stopwatch, progress

TECHNIQUES = ["none", "soft-dirty", "userfaultfd", "pml"]
ARRAYS = [1, 10, 50, 100, 250]
SPARSE = [10, 250]
ROUNDS = {1: 64, 10: 8, 50: 2, 100: 2, 250: 1}

PREPARE = {"pml": "insmod /modules/ooh_hv.ko && insmod /modules/ooh.ko && ooh enable || exit 3\n"}


def script(technique, commands):
    return PREPARE.get(technique, "") + "\n".join(commands) + "\n"


def jobs(arrays=ARRAYS, redis=True, rest=True):
    """[(name, script)]: the long ones first, so that two at a time end together."""
    out = []
    for t in TECHNIQUES:
        for mb in sorted(arrays, reverse=True):
            out.append((f"array-{mb}-{t}", script(t, [f"trackbench array --technique {t} --megabytes {mb} --rounds {ROUNDS[mb]}"])))
        small = [f"trackbench array --technique {t} --megabytes {mb} --dirty 100 --rounds 4" for mb in SPARSE]
        small.append(f"trackbench array --technique {t} --megabytes 50 --huge --rounds 2")
        out.append((f"small-{t}", script(t, [" && ".join(small)])))
        if redis:
            out.append((f"redis-{t}", script(t, [f"trackbench redis --technique {t}"])))
    if rest:
        out.append(("rest-none", script("none", ["trackbench mix --technique none"])))
        out.append(("rest-pml", script("pml", ["trackbench mix --technique hypervisor"])))
    return out


def collect(parallel=2, only=None):
    """Runs all jobs. Returns (rows, failures)."""
    rows, failures = [], []
    todo = [j for j in jobs() if not only or j[0].startswith(tuple(only))]
    watch = Stopwatch()
    for n, (name, job, status) in enumerate(machine.run_jobs(todo, parallel), 1):
        rows += job.lines()
        progress(f"{n:3}/{len(todo)} {name}: {'done' if status == 0 else f'status {status}'} ({watch})")
        if status:
            failures.append(f"{name}: status {status}; console: {job.console}\n{job.tail()}")
    return rows, failures


def derive(rows):
    """Adds overhead (against technique none) and cost of a round to each row."""
    base = {r["workload"]: r for r in rows if r["technique"] == "none"}
    for r in rows:
        b = base.get(r["workload"])
        r["overhead_percent"] = round(100.0 * (r["app_cycles"] / b["app_cycles"] - 1), 2) if b and b["app_cycles"] else None
        r["cycles_per_round"] = r["round_cycles"] // max(r["rounds"], 1)
        r["faults"], r["exits"], r["hypercalls"] = (r["app"][k] + r["tracker"][k] for k in ("faults", "exits", "hypercalls"))
    return rows


HEAD = f"{'workload':14} {'technique':12} {'rounds':>6} {'truth':>8} {'reported':>8} {'missed':>6} {'extra':>6} {'overhead':>9} " \
       f"{'cycles/round':>13} {'faults':>8} {'exits':>6} {'hypercalls':>10}"


def table(rows):
    lines = [HEAD, "-" * len(HEAD)]
    last = None
    for r in rows:
        if r["workload"].startswith("rest"):
            continue
        if last and last != r["workload"]:
            lines.append("")
        last = r["workload"]
        over = "" if r["technique"] == "none" else f"{r['overhead_percent']:.2f} %"
        none = r["technique"] == "none"
        lines.append(f"{r['workload']:14} {r['technique']:12} {r['rounds']:6} {r['truth']:8} {'' if none else r['reported']:>8} "
                     f"{'' if none else r['missed']:>6} {'' if none else r['extra']:>6} {over:>9} "
                     f"{'' if none else r['cycles_per_round']:>13} {r['faults']:8} {r['exits']:6} {r['hypercalls']:10}")
    return "\n".join(lines)


def costs():
    """Cycles of each event in the cost table that the machine ran with, from a job's --stats."""
    stats = sorted(machine.place("jobs").glob("*/stats.json"))
    return {row["name"]: row["cycles"] for row in json.loads(stats[0].read_text())["costs"]["rows"]} if stats else {}


def walk_cycles(row):
    c = costs()
    a = row["app"]
    return a["refs_1d"] * c["WALK_REF_1D"] + a["refs_guest"] * c["WALK_REF_GUEST"] + a["refs_ept"] * c["WALK_REF_EPT"]


def sensitivity(rows):
    """How far may the assumed cost of logging a page rise before the order of the techniques changes?"""
    by = {(r["workload"], r["technique"]): r for r in rows}
    lines = []
    for mb in ARRAYS:
        none, soft, pml = (by.get((f"array-{mb}", t)) for t in ("none", "soft-dirty", "pml"))
        if not (none and soft and pml and pml["app"]["pml_entries"]):
            continue
        c = costs()
        now = c["EPT_DIRTY_SET"] + c["PML_LOG"]
        pages = pml["app"]["pml_entries"]
        extra_soft, extra_pml = (x["app_cycles"] - none["app_cycles"] for x in (soft, pml))
        lines.append((mb, now, now + (extra_soft - extra_pml) / pages, now + (extra_soft / 5 - extra_pml) / pages))
    if not lines:
        return ""
    now, order, five = lines[0][1], min(x[2] for x in lines), min(x[3] for x in lines)
    return f"setting an EPT dirty flag and logging the page is assumed to cost {now} cycles; pml stays 5 times below soft-dirty up to " \
           f"{five:.0f} cycles, and below it up to {order:.0f}"


def rest(rows):
    """What the hypervisor costs with nothing tracked."""
    by = {(r["workload"], r["technique"]): r for r in rows if r["workload"].startswith("rest")}
    lines, total = [], [0, 0, 0]
    for name in ("rest-compute", "rest-syscalls", "rest-forks", "rest-faults", "rest-chase"):
        a, b = by.get((name, "none")), by.get((name, "hypervisor"))
        if not a or not b:
            continue
        d = b["app_cycles"] - a["app_cycles"]
        walk = walk_cycles(b) - walk_cycles(a)
        total = [total[0] + a["app_cycles"], total[1] + b["app_cycles"], total[2] + walk]
        lines.append(f"  {name[5:]:10} {a['app_cycles']:12} -> {b['app_cycles']:12} cycles  {100 * d / a['app_cycles']:+6.2f} %"
                     f"  (page walks {100 * walk / a['app_cycles']:+6.2f} %, exits {b['app']['exits']})")
    if total[0]:
        lines.append(f"  {'all':10} {total[0]:12} -> {total[1]:12} cycles  {100 * (total[1] / total[0] - 1):+6.2f} %"
                     f"  (page walks {100 * total[2] / total[0]:+6.2f} %)")
    idle = by.get(("rest-idle", "hypervisor"))
    if idle:
        seconds = idle["app_cycles"] / 2e9
        reasons = ", ".join(f"{k}: {v / seconds:.1f}" for k, v in idle["app"]["exits_by_reason"].items()) or "none"
        lines.append(f"  idle: exits per virtual second by reason: {reasons}")
    return "\n".join(lines)


def order(rows):
    rank = {w: i for i, w in enumerate([f"array-{m}" for m in ARRAYS] + [f"sparse-{m}" for m in SPARSE] + ["array-thp-50", "redis"])}
    return sorted(rows, key=lambda r: (rank.get(r["workload"], 99), r["workload"],
                                       TECHNIQUES.index(r["technique"]) if r["technique"] in TECHNIQUES else 9))


def main(only=None, parallel=2):
    watch = Stopwatch()
    machine.snapshot()
    rows, failures = collect(parallel, only)
    rows = order(derive(rows))
    out = BUILD / "demo"
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    print("\nDirty pages of real programs: each technique against the machine's own record of every store (4 KiB pages)\n")
    print(table(rows))
    if sensitivity(rows):
        print(f"\n{sensitivity(rows)}")
    if any(r["workload"].startswith("rest") for r in rows):
        print("\nHypervisor on, nothing tracked:")
        print(rest(rows))
    drawn = picture.overheads(rows, out / "overhead.svg")
    missed = sum(r["missed"] for r in rows)
    print(f"\nmissed pages: {missed}   ({len(rows)} rows in {out / 'results.json'}{', picture in ' + str(drawn) if drawn else ''}; {watch})")
    for f in failures:
        print(f"failed: {f}")
    return MISMATCH if missed or failures else OK
