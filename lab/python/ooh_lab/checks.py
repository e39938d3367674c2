# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that run inside the machine. Each is a job in a guest resumed from the snapshot; its exit status is the verdict, and TAP
lines in its output (`ok 1 - what`, `not ok 2 - what`, `# SKIP why`) are counted one by one."""
import json
import re
import time

from . import checks_engines, checks_floors, checks_kvm, checks_lockstep, checks_root, checks_smp, machine
from .tap import results

HV = "insmod /modules/ooh_hv.ko || exit 3\n"
KVM = "for m in irqbypass kvm kvm-intel; do insmod /modules/$m.ko || exit 3; done\n"
PML = HV + "insmod /modules/ooh.ko && ooh enable || exit 3\n"


def scripts(long):
    """[(name, script)]."""
    out = [("guest: trackers of libooh", PML + "cd /tmp && test_trackers")]
    out.append(("machine: stock KVM", KVM + "kvm_dirty_log"))
    return out + checks_floors.scripts(long)


def determinism():
    """Two runs of the same job from the same snapshot end at the same cycle with the same counters."""
    begin = time.monotonic()
    seen = []
    for n in (1, 2):
        job = machine.Job(f"determinism-{n}", PML + "trackbench array --technique pml --megabytes 1 --rounds 2")
        status = job.wait()
        d = json.loads(job.stats.read_text())
        seen.append((status, job.output.read_text(), d["cycles"], json.dumps(d["counters"], sort_keys=True)))
    same = seen[0] == seen[1] and seen[0][0] == 0
    return ("machine: two runs are equal to the cycle", "ok" if same else "FAIL", time.monotonic() - begin, f"cycle {seen[0][2]}")


def run(long):
    machine.snapshot()
    begin = time.monotonic()
    for name, job, status in machine.run_jobs([(re.sub(r"\W+", "-", n), s) for n, s in scripts(long)]):
        yield from results(name, job, status, time.monotonic() - begin)
        begin = time.monotonic()
    yield determinism()
    yield from checks_smp.run(long)
    yield from checks_lockstep.run(long)
    yield from checks_kvm.run(long)
    if long:
        yield from checks_engines.run()
        yield from checks_root.run()
