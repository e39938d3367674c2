# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks in a guest with four CPUs: the hypervisor and the PML tracker there, and two runs equal to the cycle."""
import json
import os
import re
import time

from . import machine

CPUS = "4"
PML = "insmod /modules/ooh_hv.ko && insmod /modules/ooh.ko && ooh enable || exit 3\n"
ARRAY = 'trackbench array --technique pml --megabytes 1 --rounds 3 | tee /tmp/r && grep -q \'"missed":0,\' /tmp/r\n'


def scripts(long):
    """[(name, script)]: each script's exit status is its verdict."""
    out = [("smp: the kernel has all CPUs, and its clock is the TSC",
            f"test $(nproc) = {CPUS} && grep -qx tsc /sys/devices/system/clocksource/clocksource0/current_clocksource\n"),
           ("smp: an array under PML", PML + ARRAY),
           ("smp: threads under PML", PML + "soundness --backend pml --only threads\n")]
    if long:
        out.append(("smp: all scenarios under PML", PML + "soundness --backend pml\n"))
    return out


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
        tail = f"status {status}; output: {job.output}; console: {job.console}" if status else ""
        yield (name, "FAIL" if status else "ok", time.monotonic() - begin, tail)
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
