# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock KVM in the machine: Debian's QEMU boots a second Debian kernel under it. What that costs, by the machine's own counters."""
import json
import os
import shlex
import subprocess
import sys

from . import image, machine
from .common import BUILD, LAB, OK, SOURCE, USAGE, LabError, program, progress

HERE = SOURCE / "lab/guest/nested"
FIRMWARE = ["qemu/qboot.rom", "qemu/bios-microvm.bin", "qemu/linuxboot_dma.bin", "qemu/kvmvapic.bin", "seabios/bios-256k.bin"]
MACHINES = {"microvm": "microvm,rtc=on", "pc": "pc"}
# Boot ends when the guest's init is ready; then mbench's loop of 2000 times fork, exit, wait.
WORK = ["mbench forkwait"]


def inner():
    """The initramfs of the guest's guest."""
    tree = image.Tree(LAB / "nested-inner")
    tree.put(program("busybox", "busybox-static"), "/bin/busybox", 0o755)
    tree.put(BUILD / "lab/guest/labctl", "/bin/labctl", 0o755)
    tree.put(BUILD / "bench/mbench", "/bin/mbench", 0o755)
    tree.put(HERE / "init", "/init", 0o755)
    tree.put(HERE / "churn", "/bin/churn", 0o755)
    out = LAB / "nested-inner.cpio"
    tree.pack(out)
    return out


def build():
    """The base image and, behind it, QEMU and what it boots: (kernel, initrd, stamp)."""
    vmlinuz, base, mark = image.build()
    qemu = program("qemu-system-x86_64", "qemu-system-x86")
    own = [HERE / n for n in ("init", "nested", "churn")] + [BUILD / "bench/mbench"]
    mark = f"{mark} {image.stamp([qemu, *own])} {image.stamp([__file__])}"
    out, stamp = LAB / "nested.cpio", LAB / "nested.stamp"
    if out.exists() and stamp.exists() and stamp.read_text() == mark:
        return vmlinuz, out, mark
    progress("adding QEMU and its guest to the image")
    tree = image.Tree(LAB / "nested-root")
    tree.put_program(qemu)
    for name in FIRMWARE:
        tree.put(f"/usr/share/{name}")
    tree.put(HERE / "nested", "/bin/nested", 0o755)
    tree.put(vmlinuz, "/l2/vmlinuz")
    tree.put(inner(), "/l2/initrd")
    more = LAB / "nested-more.cpio"
    tree.pack(more)
    with open(out, "wb") as f:
        for part in (base, more):  # the kernel unpacks one archive after another
            f.write(part.read_bytes())
            f.write(b"\0" * (-f.tell() % 4))
    stamp.write_text(mark)
    return vmlinuz, out, mark


def snapshot():
    return machine.snapshot(build, "nested-snapshot")


def script(commands=(), kvm="", machine_type="microvm", vcpus=1, qemu="", append=""):
    """The job that runs commands in the guest's guest."""
    for c in commands:
        if "\n" in c:
            raise LabError("nested: a command is one line", USAGE)
    setting = {"KVM": kvm, "MACHINE": MACHINES[machine_type], "VCPUS": str(vcpus), "QEMU": qemu, "APPEND": append}
    lines = "".join(f"{c}\n" for c in commands)
    return "".join(f"export {k}='{v}'\n" for k, v in setting.items()) + f"nested <<'__L2__'\n{lines}__L2__\n"


def phases(job):
    """[(name, figures)] of a job: the differences between its lines of counters, the first one's since the snapshot."""
    seen = [d for d in job.lines() if "counters" in d]
    out = []
    before = {"exits": {}}
    for d in seen:
        figures = {k: v - before.get(k, 0) for k, v in d.items() if k not in ("counters", "exits")}
        figures["exits"] = {k: [a - b for a, b in zip(v, before["exits"].get(k, [0, 0]))] for k, v in d["exits"].items()}
        out.append((d["counters"], figures))
        before = d
    return out


# What the guest does to its page tables, and KVM without EPT must see.
SHADOW = ("EXCEPTION_NMI #PF", "CR_ACCESS", "INVLPG", "INVPCID")


def sums(figures):
    """Of one phase: number and cycles of exits, the shadow page tables' part, cycles in the guest's guest; waiting in HLT does not count."""
    exits = {k: v for k, v in figures["exits"].items() if k != "HLT"}
    return {"cycles": figures["now"], "count": sum(n for n, _ in figures["exits"].values()), "root": sum(c for _, c in exits.values()),
            "shadow_count": sum(exits.get(k, (0, 0))[0] for k in SHADOW), "shadow_root": sum(exits.get(k, (0, 0))[1] for k in SHADOW),
            "nonroot": figures["NONROOT_CYCLES"]}


def table(name, figures):
    """One phase as text: exits by reason, most cycles first, and where the time went."""
    rows = [(k, n, c) for k, (n, c) in figures["exits"].items() if n]
    total, cycles = sum(r[1] for r in rows), sum(r[2] for r in rows)
    s = sums(figures)
    print(f"{name}: {s['cycles']:,} cycles; in the guest's guest {s['nonroot']:,}, from exits to entries {s['root']:,} and HLT")
    print(f"  {'exit':22} {'count':>9} {'share':>8} {'cycles':>15} {'share':>8} {'each':>9}")
    for reason, n, c in sorted(rows, key=lambda r: -r[2]) + [("all", total, cycles)]:
        print(f"  {reason:22} {n:9,} {100 * n / max(total, 1):6.2f} % {c:15,} {100 * c / max(cycles, 1):6.2f} % {c / max(n, 1):9,.0f}")


def show(job):
    """The console of the guest's guest, without the lines of counters."""
    for line in job.output.read_text(errors="replace").splitlines():
        if not line.startswith('{"counters"'):
            print(line)


def one(args, commands):
    job = machine.Job("nested", script(commands, " ".join(args.kvm), args.machine, args.vcpus, args.qemu, args.append_nested), snapshot(),
                      shlex.split(args.options))
    status = job.wait()
    sys.stderr.write(job.messages if args.options else "")
    if args.json:
        for name, figures in phases(job):
            print(json.dumps({"phase": name, **figures}))
    else:
        show(job)
        for name, figures in phases(job):
            table(name, figures)
    if status:
        sys.stderr.write(job.tail() + "\n")
    return status


def shell(args):
    vmlinuz, initrd, _ = build()
    env = " ".join(args.kvm)
    if env or args.vcpus != 1:
        raise LabError("nested: --shell takes no --kvm and no --vcpus: set KVM and VCPUS in the guest and run `nested shell`", USAGE)
    return OK if subprocess.run(machine.argv_boot(vmlinuz, initrd, "nested", ["--serial", "stdio"])).returncode in (0, 1) else 3


# --- the report ---

VARIANTS = {"EPT": "", "shadow paging": "ept=0"}


def collect(where=None):
    """{variant: [(phase, figures)]}."""
    jobs = [(f"nested-report-{n}", script(WORK, kvm, "pc")) for n, kvm in enumerate(VARIANTS.values())]
    out = {}
    for variant, (_, job, status) in zip(VARIANTS, machine.run_jobs(jobs, where=where or snapshot())):
        if status:
            raise LabError(f"{variant}: the guest's guest failed (status {status}): {job.output}, {job.console}")
        out[variant] = phases(job)
    return out


def report(args):
    data = collect()
    if args.json:
        print(json.dumps({v: dict(p) for v, p in data.items()}))
        return OK
    for variant, rows in data.items():
        for name, figures in rows:
            table(f"{variant}, {name}", figures)
    print(f"\n{'':32} {'exits':>9} {'shadow':>8} {'guest cycles':>14} {'exit cycles':>14} {'shadow':>8}")
    for variant, rows in data.items():
        for name, figures in rows:
            s = sums(figures)
            print(f"{variant + ', ' + name:32} {s['count']:9,} {100 * s['shadow_count'] / max(s['count'], 1):6.1f} % {s['nonroot']:14,} "
                  f"{s['root']:14,} {100 * s['shadow_root'] / max(s['root'], 1):6.1f} %")
    return OK


def main(args):
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    os.environ.setdefault("OOH_LAB_CPUS", "1")
    if args.report:
        return report(args)
    if args.shell:
        return shell(args)
    return one(args, [" ".join(command)] if command else [])
