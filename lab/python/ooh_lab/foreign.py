# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine with VT-x that is not ours: Debian's Bochs. It boots the lab's guest image by GRUB, with the job inside, and the project's
freestanding images. Slow: the only use is a second opinion on the hypervisor and on our own tests."""
import os
import pty
import re
import shutil
import subprocess
import threading
import time

from . import image
from .common import LAB, LabError, program

# The model must have VT-x with EPT, accessed and dirty flags, and PML. The newer models of Bochs 2.7 enumerate FSRM, with which
# Linux 6.1 hangs there.
MODEL = "corei7_skylake_x"
RC = """plugin_ctrl: unmapped=1
config_interface: textconfig
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: count={cpus}, model={model}, ips=50000000, ignore_bad_msrs={ignore_msrs}, reset_on_triple_fault=0
memory: guest={ram}, host={ram}
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={serial}
clock: sync=none
log: {log}
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
mouse: enabled=0
"""
GRUB = """serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
{lines}
boot
"""
APPEND = "console=ttyS0,115200 quiet panic=-1 tsc=reliable mitigations=off oohjob=file"


def need():
    """The programs and their data, or an error that says what to install."""
    for name, package in (("bochs-bin", "bochs"), ("grub-mkrescue", "grub-common"), ("xorriso", "xorriso"), ("mformat", "mtools")):
        program(name, package)
    for path, package in (("/usr/share/bochs/BIOS-bochs-latest", "bochsbios"), ("/usr/share/vgabios/vgabios.bin", "vgabios"),
                          ("/usr/lib/grub/i386-pc", "grub-pc-bin"),
                          ("/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so", "bochs-term")):
        if not os.path.exists(path):
            raise LabError(f"{path}: not there (apt-get install {package})")


def disc(where, files, lines):
    """A CD that GRUB boots. files: {name: path}; lines: of its menu."""
    tree = where / "disc"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "boot/grub").mkdir(parents=True)
    for name, path in files.items():
        shutil.copyfile(path, tree / "boot" / name)
    (tree / "boot/grub/grub.cfg").write_text(GRUB.format(lines=lines))
    out = where / "boot.iso"
    r = subprocess.run(["grub-mkrescue", "-o", str(out), str(tree)], capture_output=True, text=True)
    if r.returncode:
        raise LabError(f"grub-mkrescue: {r.stderr.strip().splitlines()[-1:]}")
    return out


class Bochs:
    """One boot. wait() reads the serial line until `end` matches, then ends Bochs: few guests can."""

    def __init__(self, where, iso, ram=512, cpus=1, ignore_msrs=1):
        self.serial, self.log = where / "serial", where / "log"
        self.serial.unlink(missing_ok=True)
        rc = where / "bochsrc"
        rc.write_text(RC.format(model=MODEL, cpus=cpus, ignore_msrs=ignore_msrs, ram=ram, iso=iso, serial=self.serial, log=self.log))
        commands = where / "commands"
        commands.write_text("continue\n")  # Debian's Bochs is built with the debugger, which begins by asking
        master, slave = pty.openpty()      # the display library `term` wants a terminal
        self.master = master
        self.process = subprocess.Popen(["nice", "bochs-bin", "-q", "-f", str(rc), "-rc", str(commands)], stdin=slave, stdout=slave, stderr=slave,
                                        env=dict(os.environ, TERM="vt100"), start_new_session=True)
        os.close(slave)
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        try:
            while os.read(self.master, 65536):
                pass
        except OSError:
            pass

    def text(self):
        return self.serial.read_text(errors="replace").replace("\r", "") if self.serial.exists() else ""

    def wait(self, end, seconds):
        """The match of `end` in what the guest printed, or None after that many seconds, or when Bochs ended."""
        limit = time.monotonic() + seconds
        try:
            while True:
                over = self.process.poll() is not None or time.monotonic() > limit
                m = re.search(end, self.text(), re.M)
                if m or over:
                    return m
                time.sleep(0.5)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.master)


def linux(script, seconds, cpus=1):
    """Boots the lab's image and runs a job: (its output, its status or None)."""
    where = LAB / "foreign-linux"
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    vmlinuz, initrd, _ = image.build()
    job = image.Tree(where / "job")
    (job.root / "job").write_text(script)
    job.pack(where / "job.cpio")
    files = {"vmlinuz": vmlinuz, "initrd": initrd, "job": where / "job.cpio"}
    iso = disc(where, files, f"linux /boot/vmlinuz {APPEND}\ninitrd /boot/initrd /boot/job")
    b = Bochs(where, iso, cpus=cpus)
    m = b.wait(r"^__END__ (\d+)$", seconds)
    return b.text(), int(m[1]) if m else None


def multiboot(name, path, seconds):
    """Boots a freestanding image: its output, and the number of failed checks or None."""
    where = LAB / f"foreign-{name}"
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    b = Bochs(where, disc(where, {"image": path}, "multiboot /boot/image"), 128, ignore_msrs=0)
    m = b.wait(r"(\d+) (?:checks|tests), (\d+) failed$", seconds)
    return b.text(), int(m[2]) if m else None
