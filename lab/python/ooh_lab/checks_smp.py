# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks in a guest with four CPUs: the hypervisor and the trackers there, and two runs equal to the cycle."""
import json
import os
import re
import time

from . import machine
from .checks_floors import BACKENDS, DISKS, PML
from .tap import results

CPUS = "4"
ARRAY = 'trackbench array --technique pml --megabytes 1 --rounds 3 | tee /tmp/r && grep -q \'"missed":0,\' /tmp/r\n'
# Scenarios of soundness with names that contain one of these; all of them with --long.
SHORT = ["threads", "DMA", "io_uring", "compaction", "random"]


def scripts(long):
    """[(name, script)]."""
    out = [("smp: the kernel has all CPUs, and its clock is the TSC",
            f"test $(nproc) = {CPUS} && grep -qx tsc /sys/devices/system/clocksource/clocksource0/current_clocksource\n"),
           ("smp: an array under PML", PML + ARRAY)]
    which = "" if long else " ".join(f"--only {text}" for text in SHORT)
    return out + [(f"smp: soundness {b}", PML + DISKS + f"soundness --backend {b} {which}\n") for b in BACKENDS]


def determinism():
    begin, seen = time.monotonic(), []
    for n in (1, 2):
        job = machine.Job(f"smp-determinism-{n}", PML + ARRAY)
        status = job.wait()
        d = json.loads(job.stats.read_text())
        seen.append((status, job.output.read_text(), d["cycles"], json.dumps(d["counters"], sort_keys=True)))
    same = seen[0] == seen[1] and seen[0][0] == 0
    return ("smp: two runs are equal to the cycle", "ok" if same else "FAIL", time.monotonic() - begin, f"cycle {seen[0][2]}")


def rows(long):
    machine.snapshot()
    begin = time.monotonic()
    for name, job, status in machine.run_jobs([(re.sub(r"\W+", "-", n), s) for n, s in scripts(long)]):
        yield from results(name, job, status, time.monotonic() - begin)
        begin = time.monotonic()
    yield determinism()


def run(long):
    """Rows (name, verdict, seconds, remark), as of checks.py."""
    before = os.environ.get("OOH_LAB_CPUS")
    os.environ["OOH_LAB_CPUS"] = CPUS
    try:
        yield from list(rows(long))
    finally:
        if before is None:
            del os.environ["OOH_LAB_CPUS"]
        else:
            os.environ["OOH_LAB_CPUS"] = before
