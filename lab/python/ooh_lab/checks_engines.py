# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests inside the machine on either engine: the same verdicts, the same output, the same counters, the same cycle. What a
translated run passes, the interpreted one passes then, too."""
import json
import os
import re
import time
from contextlib import contextmanager

from . import checks_floors, checks_kvm, checks_smp, lockstep, machine, nested


@contextmanager
def environment(**more):
    before = {k: os.environ.get(k) for k in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for k, v in before.items():
            if v is None:
                os.environ.pop(k, None)
            else:
                os.environ[k] = v


def seen(job, status):
    d = json.loads(job.stats.read_text())
    return status, job.output.read_text(errors="replace"), d["cycles"], json.dumps(d["counters"], sort_keys=True)


def compared(jobs, where=None):
    """Rows; where: a snapshot other than the usual one. Both engines start from the same."""
    where = where or machine.snapshot()
    for name, script in jobs:
        begin, ends = time.monotonic(), {}
        for engine in lockstep.ENGINES:
            with environment(OOH_ENGINE=engine):
                for _, job, status in machine.run_jobs([(re.sub(r"\W+", "-", f"{engine} {name}"), script)], where=where):
                    ends[engine] = seen(job, status)
        a, b = ends.values()
        ok = a == b and a[0] == 0
        what = ", ".join(n for n, x, y in zip(("status", "output", "cycle", "counters"), a, b) if x != y)
        remark = f"cycle {a[2]}" if ok else f"different: {what}; {job.output}" if what else f"status {a[0]}; {job.output}"
        yield (f"both engines: {name}", "ok" if ok else "FAIL", time.monotonic() - begin, remark)


def run():
    """Rows (name, verdict, seconds, remark), as of checks.py."""
    if len(lockstep.engines()) == 1:
        return
    yield from compared(checks_floors.scripts(False))
    with environment(OOH_LAB_CPUS=checks_smp.CPUS):
        yield from compared(checks_smp.scripts(False))
    with environment(OOH_LAB_CPUS="1"):
        yield from compared([("kvm, EPT, microvm", nested.script(commands=checks_kvm.boots()))], nested.snapshot())
