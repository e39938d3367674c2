# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of the lab."""
import argparse
import os
import subprocess
import sys

from . import demo, image, machine, nested, rootfs, track
from .common import ENVIRONMENT, LAB, OK, USAGE, LabError


def parser():
    p = argparse.ArgumentParser(prog="ooh lab", description="Experiments inside ooh-machine, an emulated PC with VT-x: no VT-x needed, nor root.",
                                epilog="Exit codes: 0 success, 1 mismatch, 2 usage, 3 environment; track and run: the command's own.")
    p.add_argument("--cpus", type=int, choices=range(1, 9), metavar="N",
                   help="CPUs of the guest, 1 to 8 (default: OOH_LAB_CPUS, or 1)")
    sub = p.add_subparsers(dest="verb", required=True, metavar="VERB")
    t = sub.add_parser("track", help="run an installed program under tracking inside the machine")
    t.add_argument("--backend", default="pml", choices=["pml", "soft-dirty", "userfaultfd"])
    t.add_argument("--interval", type=int, default=100, metavar="MS", help="length of a round in virtual milliseconds (default 100)")
    t.add_argument("--rounds", type=int, default=0, metavar="N", help="stop tracking after N rounds")
    t.add_argument("--json", action="store_true", help="JSON lines instead of text")
    t.add_argument("--include", action="append", default=[], metavar="PATH", help="a file or directory the program needs")
    t.add_argument("--beside", metavar="COMMAND", help="a second command, e.g. a load; when it ends, tracking ends")
    t.add_argument("--wait", type=float, default=1, metavar="S", help="virtual seconds before --beside starts (default 1)")
    t.add_argument("command", nargs=argparse.REMAINDER, metavar="-- command")
    r = sub.add_parser("run", help="run a shell command in the guest (hypervisor off)")
    r.add_argument("--root", action="store_true", help="in Debian with its own root file system: booted, powered off at the end")
    r.add_argument("command", nargs=argparse.REMAINDER)
    s = sub.add_parser("shell", help="boot to a shell on this terminal (Ctrl-A x ends it)")
    s.add_argument("--root", action="store_true", help="of Debian with systemd and its own root file system; `poweroff` ends it")
    n = sub.add_parser("nested", help="stock KVM and Debian's QEMU run a second Debian kernel inside the machine",
                       description="Boots Debian's kernel in the machine, loads its kvm and kvm_intel, and boots a second Debian kernel under "
                                   "Debian's QEMU. Then, by the machine's own counters: VM exits by reason, for boot and for the command.")
    n.add_argument("--kvm", action="append", default=[], metavar="PARAM=VALUE", help="parameter of kvm_intel, e.g. ept=0")
    n.add_argument("--vcpus", type=int, default=1, choices=range(1, 9), metavar="N", help="CPUs of the guest's guest (default 1)")
    n.add_argument("--machine", default="microvm", choices=list(nested.MACHINES), help="QEMU's machine type (default microvm)")
    n.add_argument("--qemu", default="", metavar="OPTIONS", help="more options for QEMU, in one word")
    n.add_argument("--append", default="", metavar="TEXT", dest="append_nested", help="more for the second kernel's command line")
    n.add_argument("--with", default="", metavar="OPTIONS", dest="options",
                   help="more options for ooh-machine, in one word: --exit-stats, --trace FILE, --gdb unix:PATH --gdb-wait, ...")
    n.add_argument("--report", action="store_true", help="EPT against shadow paging, boot and a loop of fork and wait: the table of docs/nested.md")
    n.add_argument("--shell", action="store_true", help="a shell in the guest's guest on this terminal (Ctrl-A x ends the machine)")
    n.add_argument("--json", action="store_true", help="figures as JSON lines")
    n.add_argument("command", nargs=argparse.REMAINDER, metavar="-- command")
    i = sub.add_parser("image", help="build the guest image only")
    i.add_argument("--root", action="store_true", help="the one with Debian's root file system (mmdebstrap gets the packages)")
    sub.add_parser("snapshot", help="boot and save the guest only")
    d = sub.add_parser("demo", help="all workloads, all techniques: the table of the README")
    d.add_argument("--only", action="append", metavar="PREFIX", help="only jobs whose names begin so, e.g. array-10")
    d.add_argument("--parallel", type=int, default=2, metavar="N", help="machines at a time (default 2)")
    return p


def run(args):
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise LabError("run: give a command", USAGE)
    if args.root:
        return rootfs.run_command(" ".join(command))
    job = machine.Job("run", " ".join(command) + "\n")
    status = job.wait()
    sys.stdout.write(job.output.read_text(errors="replace"))
    sys.stderr.write(job.console.read_text(errors="replace"))
    return status


def shell():
    vmlinuz, initrd, _ = image.build()
    r = subprocess.run(machine.argv_boot(vmlinuz, initrd, "shell", ["--serial", "stdio"]))
    return OK if r.returncode in (0, 1) else ENVIRONMENT


def dispatch(args):
    LAB.mkdir(parents=True, exist_ok=True)
    if args.cpus:
        os.environ["OOH_LAB_CPUS"] = str(args.cpus)
    if args.verb == "track":
        if args.command[:1] == ["--"]:
            args.command = args.command[1:]
        if not args.command:
            raise LabError("track: give a command", USAGE)
        return track.main(args)
    if args.verb == "nested":
        return nested.main(args)
    if args.verb == "run":
        return run(args)
    if args.verb == "shell":
        return rootfs.shell() if args.root else shell()
    if args.verb == "image":
        rootfs.disk() if args.root else image.build()
        return OK
    if args.verb == "snapshot":
        machine.snapshot()
        return OK
    return demo.main(args.only, args.parallel)


def main(argv):
    try:
        return dispatch(parser().parse_args(argv))
    except LabError as e:
        print(f"ooh lab: {e}", file=sys.stderr)
        return e.code
    except KeyboardInterrupt:
        return 130
