# SPDX-License-Identifier: GPL-2.0-or-later
"""ooh lab track: any installed program, tracked by PML inside the machine; its report comes out."""
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from . import image, machine
from .common import ENVIRONMENT, LAB, LabError, progress


def find(command):
    path = shutil.which(command)
    if not path:
        raise LabError(f"{command}: not found", 127)
    return Path(path)


def overlay(commands, includes):
    """A second archive for the kernel to unpack over the base image: the programs, their packages and libraries, named files."""
    tree = image.Tree(LAB / "overlay")
    for path in commands:
        tree.put_program(path)
        tree.put_package(path)
    for name in includes:
        p = Path(name)
        if not p.exists():
            raise LabError(f"{name}: no such file")
        for q in (p.rglob("*") if p.is_dir() else [p]):
            if q.is_file():
                tree.put_program(q, str(q.absolute())) if os.access(q, os.X_OK) else tree.put(q, str(q.absolute()))
    out = LAB / "overlay.cpio"
    tree.pack(out)
    return out


def script(args, command):
    opts = ["--backend", args.backend, "--interval", str(args.interval), "--lines", "--output", "/dev/ttyS1"]
    if args.rounds:
        opts += ["--rounds", str(args.rounds)]
    if args.json:
        opts.append("--json")
    lines = []
    if args.backend == "pml":
        lines.append("insmod /modules/ooh_hv.ko && insmod /modules/ooh.ko && ooh enable || exit 3")
    run = f"ooh track {shlex.join(opts)} -- {shlex.join(command)} >/dev/console"
    if args.beside:
        lines += [f"{run} &", "tracked=$!", f"sleep {args.wait}", f"sh -c {shlex.quote(args.beside)} >/dev/console", "code=$?",
                  "kill -INT $tracked", "killall " + shlex.quote(os.path.basename(command[0])) + " 2>/dev/null", "wait $tracked", "exit $code"]
    else:
        lines.append(f"exec {run}")
    # Linux drops what arrived before a serial line was opened for good: empty lines may be lost.
    return "\n" * 4096 + "\n".join(lines) + "\n__END__\n"


def main(args):
    command = [str(find(args.command[0])), *args.command[1:]]
    programs = [Path(command[0])]
    if args.beside:
        programs.append(find(shlex.split(args.beside)[0]))
    vmlinuz, base, _ = image.build()
    initrd = LAB / "initrd-track.cpio"
    progress("packing " + ", ".join(str(p) for p in programs))
    with open(initrd, "wb") as f:
        named = [a for a in command[1:] if os.path.exists(a)]
        for part in (base, overlay(programs, args.include + named)):
            f.write(Path(part).read_bytes())
    job, out = LAB / "track.job", LAB / "track.out"
    job.write_text(script(args, command))
    out.unlink(missing_ok=True)
    progress("booting the machine")
    r = subprocess.run(machine.argv_boot(vmlinuz, initrd, "run", ["--serial", "stdio", "--serial2", f"in:{job},out:{out}"]),
                       stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if out.exists():
        sys.stdout.write(out.read_text(errors="replace"))
    if r.returncode < 0 or r.returncode % 2 == 0:
        raise LabError(f"the machine ended with status {r.returncode}", ENVIRONMENT)
    return (r.returncode - 1) // 2
