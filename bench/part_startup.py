# SPDX-License-Identifier: GPL-2.0-or-later
"""What is around the engine: how soon a snapshot's guest works, what the process needs beside the guest's RAM, what an idle guest costs."""
import os
import pty
import re
import select
import statistics
import subprocess
import time
from pathlib import Path

from ooh_lab import image, machine
from ooh_lab.common import LAB, LabError, progress

from common import cpu_seconds, engine

IDLE = 5 # seconds of the host's


def resume_seconds(runs):
    """Host seconds from the start of the process to the first byte of a job's output, and to its end."""
    where, job, out = machine.snapshot(), LAB / "bench.job", LAB / "bench.out"
    job.write_text("echo here\n__END__\n")
    first, end = [], []
    for _ in range(runs):
        out.unlink(missing_ok=True)
        os.mkfifo(out)
        begin = time.monotonic()
        p = subprocess.Popen([str(machine.MACHINE), *engine(), "--resume", str(where), "--quiet", "--serial", "null", "--serial2", f"in:{job},out:{out}"],
                             stdin=subprocess.DEVNULL)
        with open(out, "rb") as f:
            f.read(1)
            first.append(time.monotonic() - begin)
            f.read()
        p.wait()
        end.append(time.monotonic() - begin)
    out.unlink()
    return statistics.median(first), statistics.median(end)


def mappings(pid):
    """[(size, resident)] in bytes of a process's mappings; a memory object that is mapped twice, like the code cache, counts once."""
    out, at = {}, None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) ...(.) [0-9a-f]+ \S+ (\d+)", line)
        rss = re.match(r"Rss: +(\d+) kB", line)
        if head:
            at = ("object", head[4]) if head[3] == "s" else ("private", head[1])
            out.setdefault(at, (int(head[2], 16) - int(head[1], 16), 0))
        elif rss:
            out[at] = (out[at][0], max(out[at][1], int(rss[1]) * 1024))
    return list(out.values())


def at_a_shell(ram):
    """Boots to a shell on a terminal; (seconds until the prompt, RAM resident, the rest resident, CPU share while idle)."""
    vmlinuz, initrd, _ = image.build()
    master, slave = pty.openpty()
    argv = machine.argv_boot(vmlinuz, initrd, "shell", [*engine(), "--serial", "stdio"])
    argv[argv.index("--ram") + 1] = ram
    begin = time.monotonic()
    p = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL)
    text = b""
    try:
        while b"# " not in text.split(b"a shell;")[-1] or b"a shell;" not in text:
            if time.monotonic() - begin > 120:
                raise LabError("startup: no prompt after 120 s")
            if select.select([master], [], [], 1)[0]:
                text += os.read(master, 4096)
        shell = time.monotonic() - begin
        time.sleep(1)
        before = cpu_seconds(p.pid)
        time.sleep(IDLE)
        used = cpu_seconds(p.pid) - before
        maps = mappings(p.pid)
    finally:
        p.kill()
        p.wait()
        os.close(master)
        os.close(slave)
    guest = max(maps)
    return shell, guest[1], sum(r for _, r in maps) - guest[1], used / IDLE


def run(args):
    progress("startup: a job in a resumed guest")
    first, end = resume_seconds(max(args.runs, 5))
    print(f"snapshot to the first byte of a job's output: {first:.3f} s; to the end of the machine: {end:.3f} s (host clock)")
    rows = {}
    for ram in ("1G", "8G"):
        progress(f"startup: a shell, {ram}")
        shell, guest, beside, idle = at_a_shell(ram)
        rows[ram] = {"shell_s": shell, "ram_resident": guest, "beside_ram": beside, "idle_cpu_share": idle}
        print(f"{ram}: boot to a shell {shell:.2f} s; resident {guest >> 20} MiB of RAM, {beside / (1 << 20):.1f} MiB beside it; "
              f"idle at the prompt: {100 * idle:.1f} % of a CPU")
    return {"first_output_s": first, "end_s": end, "shell": rows}
