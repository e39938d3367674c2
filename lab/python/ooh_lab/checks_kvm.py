# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock KVM and Debian's QEMU as the judge of VT-x: a second Debian kernel boots to a shell under them and forks, in many settings."""
import os
import re
import time

from . import machine, nested

FORKS = 'i=0; while [ $i -lt 20 ]; do [ "$(echo $i | cat)" = $i ] || exit 1; i=$((i+1)); done'


def boots(vcpus=1):
    """What every second guest has to do: see its CPUs, copy, fork."""
    return [f"test $(nproc) = {vcpus}", "churn 3", FORKS]


# name: (CPUs of the machine, arguments of nested.script, what the counters of the whole run must show)
def variants(long):
    out = {"EPT, microvm": (1, {}, {})}
    if not long:
        return out
    for kvm in ("ept=0", "pml=0", "unrestricted_guest=0", "vpid=0", "eptad=0", "enable_apicv=0", "flexpriority=0", "preemption_timer=0",
                "ept=0 unrestricted_guest=0 vpid=0"):
        out[kvm] = (1, {"kvm": kvm}, {})
    out["pc with its BIOS"] = (1, {"machine_type": "pc"}, {})
    out["pc with its BIOS, unrestricted_guest=0"] = (1, {"machine_type": "pc", "kvm": "unrestricted_guest=0"}, {})
    out["two virtual CPUs on one"] = (1, {"vcpus": 2}, {})
    out["two virtual CPUs on one, ept=0"] = (1, {"vcpus": 2, "kvm": "ept=0"}, {})
    out["four virtual CPUs on four"] = (4, {"vcpus": 4}, {})
    out["four virtual CPUs on four, ept=0"] = (4, {"vcpus": 4, "kvm": "ept=0"}, {})
    out["four virtual CPUs on four, enable_apicv=0"] = (4, {"vcpus": 4, "kvm": "enable_apicv=0"}, {})
    moves = ["@migrate churn 60", "churn 3"]
    out["migration, PML"] = (1, {"machine_type": "pc", "commands": moves}, {"PML_ENTRIES": True})
    out["migration, pml=0"] = (1, {"machine_type": "pc", "commands": moves, "kvm": "pml=0"}, {"PML_ENTRIES": False})
    out["migration, ept=0"] = (1, {"machine_type": "pc", "commands": moves, "kvm": "ept=0"}, {"PML_ENTRIES": False})
    out["migration of two virtual CPUs on four, PML"] = (4, {"machine_type": "pc", "commands": moves, "vcpus": 2}, {"PML_ENTRIES": True})
    return out


def verdict(job, status, counters):
    """The remark of a failed run, or nothing."""
    if status:
        return f"status {status}; output: {job.output}; console: {job.console}"
    seen = nested.phases(job)
    for name, some in counters.items():
        n = sum(figures[name] for _, figures in seen)
        if bool(n) != some:
            return f"{name} is {n}"
    return ""


def rows(cpus, todo):
    os.environ["OOH_LAB_CPUS"] = str(cpus)
    jobs, begin = [], time.monotonic()
    for name, (_, args, _) in todo.items():
        args = {"commands": boots(args.get("vcpus", 1)), **args}
        jobs.append((re.sub(r"\W+", "-", f"kvm {name}"), nested.script(**args)))
    for name, (_, job, status) in zip(todo, machine.run_jobs(jobs, where=nested.snapshot())):
        tail = verdict(job, status, todo[name][2])
        yield (f"kvm: {name}", "FAIL" if tail else "ok", time.monotonic() - begin, tail)
        begin = time.monotonic()


def run(long):
    """Rows (name, verdict, seconds, remark), as of checks.py."""
    before = os.environ.get("OOH_LAB_CPUS")
    try:
        for cpus in (1, 4):
            todo = {k: v for k, v in variants(long).items() if v[0] == cpus}
            if todo:
                yield from rows(cpus, todo)
    finally:
        if before is None:
            os.environ.pop("OOH_LAB_CPUS", None)
        else:
            os.environ["OOH_LAB_CPUS"] = before
