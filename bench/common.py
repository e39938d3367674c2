# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the bench share: guests, and the CPU time that a process takes."""
import os
import re
import statistics
import subprocess
from pathlib import Path

from ooh_lab import image, lockstep
from ooh_lab.common import BUILD, LAB, LabError, program

ROOT = Path(__file__).resolve().parents[1]
WORKS = ["integer", "sha256", "memcpy", "chase", "getppid", "forkwait", "touch"]
APPEND = "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off"
MACHINE = BUILD / "machine/ooh-machine"


def initrd(name="bench", more=()):
    """The bench's own small root; more: programs of this host to put in as well, at their paths."""
    tree = image.Tree(LAB / f"{name}-root")
    tree.put(ROOT / "bench/guest/init", "/init", 0o755)
    tree.put(program("busybox", "busybox-static"), "/bin/busybox", 0o755)
    tree.put(BUILD / "bench/mbench", "/bin/mbench", 0o755)
    tree.put(BUILD / "lab/guest/labctl", "/bin/labctl", 0o755)
    for path in more:
        tree.put_program(path)
        tree.put_package(path)
    for module, ko in image.modules().items():
        tree.put(ko, f"/modules/{module}.ko", 0o644)
    out = LAB / f"{name}.cpio"
    tree.pack(out)
    return out


def kernel():
    root, release = image.kernel()
    return root / f"boot/vmlinuz-{release}"


def engine():
    """The arguments for the engine that a user gets by default, if the machine has a choice."""
    names = lockstep.engines(MACHINE)
    return ["--engine", names[-1]] if names[-1] else []


def ours(cpio, ram="1G", cpus=1, how=None, append=""):
    return [str(MACHINE), *(engine() if how is None else how), "--kernel", str(kernel()), "--initrd", str(cpio), "--ram", ram, "--cpus", str(cpus), "--quiet",
            "--serial", "file:/dev/stdout", "--append", f"{APPEND} {append}".strip()]


def cpu_seconds(pid):
    """CPU time of a process, its threads and the children it waited for: what a busy neighbour does not change."""
    f = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(f[i]) for i in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def listen(argv):
    """Runs argv and takes its CPU time at each BEGIN and END line: {work: seconds}, and from start to `BEGIN init` as boot."""
    begin, out = {}, {}
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
    for line in p.stdout:
        now = cpu_seconds(p.pid)
        m = re.search(r"(BEGIN|END|FAILED) (\w+)", line)
        if not m:
            continue
        if m[1] == "FAILED":
            p.kill()
            raise LabError(f"{argv[0]}: {m[2]} failed in the guest")
        if m[2] == "init":
            out["boot"] = now
        elif m[1] == "BEGIN":
            begin[m[2]] = now
        else:
            out[m[2]] = now - begin[m[2]]
    p.wait()
    return out


def medians(runs):
    """[{work: seconds}] to {work: median}."""
    works = dict.fromkeys(w for r in runs for w in r)
    return {w: statistics.median([r[w] for r in runs if w in r]) for w in works}
