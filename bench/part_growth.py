# SPDX-License-Identifier: GPL-2.0-or-later
"""How the machine's time grows with what a guest has more of; each line is the same work with another amount."""
import shutil
import subprocess
from pathlib import Path

from ooh_lab.common import LAB, LabError, progress

from common import initrd, listen, medians, ours


def measured(args, argv):
    return medians([listen(argv) for _ in range(args.runs)])


def table(title, head, rows):
    print(f"{title}\n  {head}")
    for r in rows:
        print("  " + "  ".join(f"{v:>12.3f}" if isinstance(v, float) else f"{v:>12}" for v in r))
    return [dict(zip(head.split(), r)) for r in rows]


def memory(args, cpio):
    rows = []
    for ram in ("256M", "512M", "1G", "2G", "4G", "8G"):
        progress(f"growth: memory {ram}")
        s = measured(args, ours(cpio, ram=ram, append="oohwork=mbench,touch"))
        rows.append((ram, s["boot"], s["touch"]))
    return table("guest memory: boot, and 16,384 page faults", "ram boot_s touch_s", rows)


def cpus(args, cpio):
    rows = []
    for n in (1, 2, 4, 8):
        progress(f"growth: {n} CPUs")
        s = measured(args, ours(cpio, cpus=n, append="oohwork=mbench,forkwait"))
        rows.append((n, s["boot"], s["forkwait"]))
    return table("CPUs: boot, and 2,000 forks by one process", "cpus boot_s forkwait_s", rows)


def code(args, cpio):
    rows = []
    for n in (16, 1000, 10000, 50000, 200000):
        progress(f"growth: {n} functions")
        rows.append((n, measured(args, ours(cpio, append=f"oohwork=mbench,code,{n}"))["code"]))
    return table("code: 4,000,000 calls of so many functions, each on a cache line of its own", "functions code_s", rows)


def source(functions):
    out = LAB / f"bench-{functions}.c"
    body = "".join(f"int f{i}(int a, int b) {{ int s = {i}; for (int k = 0; k < a; k++) s += (b * k) ^ (s >> {i % 7}); return s; }}\n"
                   for i in range(functions))
    out.write_text(body)
    return out


def compiler(args, _):
    """A compiler of tens of megabytes, from Debian's package, on files of growing size."""
    gcc = shutil.which("gcc")
    found = subprocess.run([gcc, "-print-prog-name=cc1"], capture_output=True, text=True).stdout.strip() if gcc else ""
    if not found or not Path(found).is_file():
        raise LabError("cc1: not installed (apt-get install gcc)")
    rows = []
    for n in (1, 50, 200):
        progress(f"growth: a compiler on {n} functions")
        cpio = initrd("bench-cc1", [Path(found)])
        with open(cpio, "ab") as f:
            f.write(one_file(source(n)))
        s = measured(args, ours(cpio, append="oohwork=" + found + ",-quiet,-ffreestanding,-O2,/bench.c,-o,/bench.s"))
        rows.append((n, s["work"]))
    return table("a compiler (cc1 -O2) on files of so many functions", "functions work_s", rows)


def one_file(path):
    """An archive with the file as /bench.c."""
    return subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=b"bench.c\n", stdout=subprocess.PIPE, cwd=staged(path), check=True).stdout


def staged(path):
    d = LAB / "bench-source"
    d.mkdir(exist_ok=True)
    shutil.copy(path, d / "bench.c")
    return d


def spaces(args, cpio):
    rows = []
    for n in (2, 16, 64, 256, 1000):
        progress(f"growth: {n} processes")
        rows.append((n, measured(args, ours(cpio, append=f"oohwork=mbench,ring,{n}"))["ring"]))
    return table("address spaces: 20,000 steps of a token around a ring of so many processes (their forks and ends included)", "processes ring_s", rows)


def run(args):
    cpio = initrd()
    return {f.__name__: f(args, cpio) for f in (memory, cpus, code, compiler, spaces)}
