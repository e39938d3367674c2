# SPDX-License-Identifier: GPL-2.0-or-later
"""The two engines side by side on whole systems: see lockstep.py. Short, each is cut at a cycle; long, each runs to its end."""
import os
import tempfile
import time

from . import image, lockstep, machine
from .common import BUILD

FULL = ("interpret", "translate:512K")
PML = "insmod /modules/ooh_hv.ko && insmod /modules/ooh.ko && ooh enable || exit 3\n"
LOADS = [("redis under load, tracked by PML", 1, PML + "trackbench redis --technique pml", 0.8),
         ("redis under load, four CPUs", 4, PML + "trackbench redis --technique pml", 0.3),
         ("forks, faults, a sort and a compressor", 1, "trackbench mix --technique none", 0.8)]


def job_file(script):
    out = BUILD / "lab" / "lockstep.job"
    out.write_text(script.rstrip("\n") + "\n__END__\n")
    return out


def limit(seconds, long):
    """Virtual seconds from the start of the run, at 2 GHz."""
    return [] if long else ["--max-cycles", str(int(seconds * 2e9))]


def boot_args(long, cpus):
    """A boot's end is where the guest asks for a snapshot. (A job on the second line would be lost before its driver is there.)"""
    vmlinuz, initrd, _ = image.build()
    return ["--kernel", vmlinuz, "--initrd", initrd, "--append", f"{machine.APPEND} oohjob=snapshot", "--ram", machine.RAM, "--cpus", cpus,
            "--serial", "file:{}/console", "--serial2", "null", "--snapshot-to", "{}/snapshot", "--snapshot-exit",
            *limit(3 if cpus == 1 else 0.9, long)]


def verdict(name, args, every, begin, names=None):
    r = lockstep.compare(args, lockstep.sides(names=names), every=every)
    what = f"{r.points} points, to cycle {r.cycle}" if r.same else "\n" + r.text
    return (f"lockstep: {name}", "ok" if r.same else "FAIL", time.monotonic() - begin, what)


def unchanged(args, every):
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lockstep-", dir=BUILD) as where:
        r = lockstep.undisturbed(args, every, where)
    return ("lockstep: a boot with digests and without ends in the same state", "ok" if r.same else "FAIL", time.monotonic() - begin,
            f"cycle {r.cycle}" + r.text)


def resumed(script, long, seconds):
    where = machine.snapshot()
    start = machine.boot_cycles()
    return ["--resume", where, "--serial", "file:{}/console", "--serial2", f"in:{job_file(script)},out:{{}}/output", *limit(start / 2e9 + seconds, long)]


def run(long):
    """Rows (name, verdict, seconds, remark), as of checks.py."""
    before = os.environ.get("OOH_LAB_CPUS")
    every = lockstep.EVERY
    try:
        for cpus in (1, 4):
            begin = time.monotonic()
            yield verdict(f"boot of the stock kernel, {cpus} CPU{'s' * (cpus > 1)}", boot_args(long, cpus), every, begin)
        begin = time.monotonic()
        yield verdict("boot with caches that are always full", [*boot_args(long, 1), "--blocks", "2M"], every, begin, FULL)
        yield unchanged(boot_args(long, 1), every)
        for name, cpus, script, seconds in LOADS:
            begin = time.monotonic()
            os.environ["OOH_LAB_CPUS"] = str(cpus)
            yield verdict(name, resumed(script, long, seconds), every, begin)
    finally:
        os.environ.pop("OOH_LAB_CPUS", None)
        if before is not None:
            os.environ["OOH_LAB_CPUS"] = before
