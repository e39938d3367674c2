# SPDX-License-Identifier: GPL-2.0-or-later
"""Booting, snapshots and jobs."""
import json
import os
import shutil
import subprocess
from pathlib import Path

from . import image
from .common import BUILD, ENVIRONMENT, LAB, USAGE, LabError, Stopwatch, progress

MACHINE = BUILD / "machine" / "ooh-machine"
APPEND = "console=ttyS0 quiet panic=-1 tsc=reliable"
RAM = "1G"


def cpus():
    """How many CPUs the guest has: OOH_LAB_CPUS, or one."""
    text = os.environ.get("OOH_LAB_CPUS", "1")
    if text not in tuple("12345678"):
        raise LabError(f"{text}: not a number of CPUs from 1 to 8", USAGE)
    return int(text)


def place(name):
    """A path in the lab's directory; guests with several CPUs have their own."""
    return LAB / (name if cpus() == 1 else f"{name}-{cpus()}cpus")


def devices():
    out = ["--net", "peer", "--rng"]
    for path in image.disks():
        out += ["--disk", f"{path},snapshot"]
    return out


def argv_boot(vmlinuz, initrd, job, extra=()):
    return [str(MACHINE), "--kernel", str(vmlinuz), "--initrd", str(initrd), "--append", f"{APPEND} oohjob={job}", "--ram", RAM,
            "--cpus", str(cpus()), *devices(), *extra]


def snapshot(build=image.build, name="snapshot"):
    """A guest that is booted and waits for its job: the snapshot's directory, made anew when the image or the machine changed.
    build: makes the image and returns (kernel, initrd, stamp)."""
    if not MACHINE.exists():
        raise LabError(f"{MACHINE}: not built (run make first)")
    vmlinuz, initrd, mark = build()
    mark = f"{mark} {image.stamp([MACHINE, *image.disks()])} {APPEND} {RAM}"
    where = place(name)
    stamp = place(f"{name}.stamp")
    if where.exists() and stamp.exists() and stamp.read_text() == mark:
        return where
    progress("booting Debian's kernel in the machine, once")
    watch = Stopwatch()
    shutil.rmtree(where, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    log = place("boot.log")
    r = subprocess.run(argv_boot(vmlinuz, initrd, "snapshot", ["--serial", f"file:{log}", "--serial2", "null", "--snapshot-to",
                                 str(where), "--snapshot-exit", "--stats", str(place("boot.json"))]), capture_output=True, text=True)
    if r.returncode or not where.exists():
        raise LabError(f"the guest did not boot (status {r.returncode}: {(r.stderr.strip().splitlines() or ['no message'])[-1]}); its console: {log}")
    stamp.write_text(mark)
    progress(f"booted and saved in {watch}")
    return where


def boot_cycles():
    """The cycle at which the snapshot was taken."""
    return json.loads(place("boot.json").read_text())["cycles"]


class Job:
    """One job in a resumed guest, running in the background. extra: more options for the machine."""

    def __init__(self, name, script, where=None, extra=()):
        self.name = name
        self.dir = place("jobs") / name
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "job").write_text(script.rstrip("\n") + "\n__END__\n")
        self.output, self.console, self.stats = (self.dir / n for n in ("output", "console", "stats.json"))
        for p in (self.output, self.console, self.stats):
            p.unlink(missing_ok=True)
        argv = [str(MACHINE), "--resume", str(where or snapshot()), "--serial", f"file:{self.console}", "--serial2",
                f"in:{self.dir / 'job'},out:{self.output}", "--stats", str(self.stats), *extra]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def wait(self):
        """The script's exit status. A machine that ended otherwise is an error."""
        err = self.messages = self.process.communicate()[1]
        code = self.process.returncode
        if code < 0 or code % 2 == 0:
            line = (err.strip().splitlines() or ["no message"])[-1]
            raise LabError(f"{self.name}: the machine ended with status {code}: {line}; the guest's console: {self.console}", ENVIRONMENT)
        return (code - 1) // 2

    def lines(self):
        """The JSON lines of the output."""
        out = []
        for line in self.output.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                out.append(json.loads(line))
        return out

    def tail(self):
        """The last lines of the console, for messages."""
        text = Path(self.console).read_text(errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-12:])


def run_jobs(jobs, parallel=2, where=None):
    """jobs: [(name, script)]. Runs them, `parallel` at a time, and yields (name, Job, status) in order. where: a snapshot."""
    where = where or snapshot()
    waiting, running = list(jobs), []
    while waiting or running:
        while waiting and len(running) < parallel:
            name, script = waiting.pop(0)
            running.append(Job(name, script, where))
        job = running.pop(0)
        yield job.name, job, job.wait()
