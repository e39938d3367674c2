# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with a distribution's root file system: Debian with systemd, made of its packages without root, on a virtio disk."""
import os
import subprocess
import sys
from pathlib import Path

from . import image, machine
from .common import BUILD, ENVIRONMENT, LAB, OK, SOURCE, LabError, Stopwatch, program, progress, run

SUITE = "bookworm"
PACKAGES = ["systemd-sysv", "udev", "kmod", "iproute2", "iputils-ping"]
MEGABYTES = 600
# What a machine does not read.
LEAVE_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
PARTS = SOURCE / "lab/rootfs"


def archive():
    """The packages' files, as a tar archive; made once."""
    out = LAB / f"{SUITE}.tar"
    what = LAB / f"{SUITE}.packages"
    if out.exists() and what.exists() and what.read_text() == " ".join(PACKAGES):
        return out
    progress(f"installing Debian's packages into {out} (a minute or two)")
    new = LAB / f"{SUITE}.new.tar"
    run([program("mmdebstrap", "mmdebstrap"), "--variant=minbase", "--include=" + ",".join(PACKAGES), '--aptopt=Acquire::Languages "none"',
         *(f"--dpkgopt=path-exclude={p}" for p in LEAVE_OUT), SUITE, new])
    new.rename(out)
    what.write_text(" ".join(PACKAGES))
    return out


def disk():
    """The image of the root file system; guests write to it with `snapshot` only."""
    source = archive()
    out, stamp = LAB / "rootfs.img", LAB / "rootfs.stamp"
    mark = image.stamp([source, *PARTS.iterdir()])
    if out.exists() and stamp.exists() and stamp.read_text() == mark:
        return out
    progress("making the root file system")
    fakeroot = [] if os.geteuid() == 0 else [program("fakeroot", "fakeroot")]
    new = LAB / "rootfs.new"
    new.unlink(missing_ok=True)
    run([*fakeroot, PARTS / "build", source, new, MEGABYTES], env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"})
    new.rename(out)
    stamp.write_text(mark)
    return out


def initrd():
    """Drivers, and what this project brings along: it is found in /run/ooh."""
    root, release = image.kernel()
    tree = image.Tree(LAB / "rootfs-initrd")
    for d in ("mnt", "ooh"):
        (tree.root / d).mkdir()
    tree.put(PARTS / "init", "/init", 0o755)
    tree.put(program("busybox", "busybox-static"), "/bin/busybox", 0o755)
    for name in image.VIRTIO:
        for ko in (root / "lib/modules").rglob(f"{name}.ko"):
            tree.put(ko, f"/modules/{name}.ko", 0o644)
    (tree.root / "modules/order").write_text("\n".join(image.VIRTIO) + "\n")
    for name, ko in image.modules().items():
        tree.put(ko, f"/ooh/modules/{name}.ko", 0o644)
    for name in ("lab/guest/labctl", "lab/guest/trackbench", "lab/guest/soundness"):
        tree.put(BUILD / name, f"/ooh/bin/{Path(name).name}", 0o755)
    tree.put(BUILD / "tools/ooh", "/ooh/bin/ooh", 0o755)
    for lib in image.libraries(BUILD / "tools/ooh"):
        if not lib.name.startswith(("libc.", "ld-linux")): # those are the distribution's
            tree.put(lib, f"/ooh/lib/{lib.name}", 0o755)
    out = LAB / "rootfs.cpio"
    tree.pack(out)
    return root / "boot" / f"vmlinuz-{release}", out


def argv(job, extra):
    vmlinuz, cpio = initrd()
    return [str(machine.MACHINE), "--kernel", str(vmlinuz), "--initrd", str(cpio), "--append", f"{machine.APPEND} oohjob={job}", "--ram", "1G",
            "--cpus", str(machine.cpus()), "--disk", f"{disk()},snapshot", "--net", "peer", "--rng", *extra]


def shell():
    r = subprocess.run(argv("shell", ["--serial", "stdio"]))
    return OK if r.returncode in (0, 1) else ENVIRONMENT


class Booted:
    """A script run by the distribution once it is up; then it powers off. As machine.Job, but booted and not resumed."""

    def __init__(self, name, script):
        self.dir = machine.place("jobs") / name
        self.dir.mkdir(parents=True, exist_ok=True)
        # Linux drops what arrived before a serial line was opened for good: empty lines may be lost.
        (self.dir / "job").write_text("\n" * 4096 + script.rstrip("\n") + "\n__END__\n")
        self.output, self.console, self.stats = (self.dir / n for n in ("output", "console", "stats.json"))
        for p in (self.output, self.console, self.stats):
            p.unlink(missing_ok=True)
        self.name = name

    def wait(self):
        """The script's exit status."""
        r = subprocess.run(argv("run", ["--serial", f"file:{self.console}", "--serial2", f"in:{self.dir / 'job'},out:{self.output}",
                                        "--stats", str(self.stats)]), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if r.returncode < 0 or r.returncode % 2 == 0:
            line = (r.stderr.strip().splitlines() or ["no message"])[-1]
            raise LabError(f"the machine ended with status {r.returncode}: {line}; the guest's console: {self.console}", ENVIRONMENT)
        return (r.returncode - 1) // 2


def run_command(command):
    job = Booted("rootfs-run", command)
    watch = Stopwatch()
    status = job.wait()
    sys.stdout.write(job.output.read_text(errors="replace"))
    progress(f"booted, run and powered off in {watch}")
    return status
