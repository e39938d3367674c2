# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest image: Debian's kernel, our modules built for it, programs with their libraries."""
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from .common import BUILD, LAB, SOURCE, LabError, program, progress, run

# For tests with swap, a block device, stock KVM.
KERNEL_MODULES = ["lzo-rle", "zsmalloc", "zram", "brd", "irqbypass", "kvm", "kvm-intel"]
# The drivers of the machine's virtio devices, in the order in which they load.
VIRTIO = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "failover", "net_failover",
          "virtio_net", "virtio-rng"]


def headers():
    """The newest installed headers of Debian's cloud kernel: (directory, release)."""
    found = sorted(Path("/usr/src").glob("linux-headers-6.1.0-*-cloud-amd64"), key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
    if not found:
        raise LabError("kernel headers: not installed (apt-get install linux-headers-cloud-amd64)")
    return found[-1], found[-1].name.removeprefix("linux-headers-")


def kernel():
    """Debian's kernel package for the installed headers, unpacked: its root directory. Downloaded once."""
    _, release = headers()
    root = LAB / f"kernel-{release}"
    if not (root / "boot" / f"vmlinuz-{release}").exists():
        progress(f"getting Debian's kernel {release}")
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        name = f"linux-image-{release}"
        r = subprocess.run(["apt-get", "download", name], cwd=root, capture_output=True, text=True)
        debs = list(root.glob("*.deb"))
        if r.returncode or not debs:
            raise LabError(f"{name}: apt-get download failed: {r.stderr.strip().splitlines()[-1:] or 'no package'}")
        run(["dpkg-deb", "-x", debs[0], root])
        debs[0].unlink()
    return root, release


def modules():
    """Our kernel modules, as the build made them: {name: path}."""
    out = {}
    for name, sub, needed in (("ooh_hv", "hypervisor", True), ("ooh", "module", True), ("ooh_probe", "lab/probe", True),
                              ("ooh_hvtest", "hypervisor", False), ("ooh_hv_double", "module", False)):
        p = BUILD / sub / f"{name}.ko"
        if p.exists():
            out[name] = p
        elif needed:
            raise LabError(f"{p}: not built (are the kernel headers installed? apt-get install linux-headers-cloud-amd64)")
    return out


def libraries(path):
    """The shared libraries of an ELF program, the loader included; [] for a static one or a script."""
    r = subprocess.run(["ldd", str(path)], capture_output=True, text=True)
    return [Path(p) for p in re.findall(r"(?:=> )?(/[^ ]+) \(0x", r.stdout)]


class Tree:
    """A root file system in the making."""

    def __init__(self, root):
        self.root = Path(root)
        shutil.rmtree(self.root, ignore_errors=True)
        for d in ("bin", "proc", "sys", "dev", "tmp", "modules", "usr/bin", "etc", "root", "lib64", "run", "var"):
            (self.root / d).mkdir(parents=True)

    def put(self, src, dst=None, mode=None):
        """Copies a file to the same place (or dst), following links; directories on the way are made."""
        q = self.root / str(dst or src).lstrip("/")
        if q.exists():
            return
        q.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(src, q)
        q.chmod(mode if mode is not None else (os.stat(src).st_mode & 0o777) | 0o444)

    def put_program(self, src, dst=None):
        """A program with its libraries, and the interpreter of a script."""
        src = Path(src)
        self.put(src, dst, 0o755)
        for lib in libraries(src):
            self.put(lib, mode=0o755)
        with open(src, "rb") as f:
            first = f.readline(256)
        if first.startswith(b"#!"):
            words = first[2:].decode(errors="replace").split()
            names = [words[0]] + ([words[1]] if words[0].endswith("/env") and len(words) > 1 else [])
            for name in names:
                p = Path(name) if name.startswith("/") else program(name, name)
                if not (self.root / str(p).lstrip("/")).exists():
                    self.put_program(p)

    def put_package(self, path):
        """All files of the Debian package that owns path, but documentation."""
        r = subprocess.run(["dpkg", "-S", os.path.realpath(path)], capture_output=True, text=True)
        if r.returncode:
            return
        listing = subprocess.run(["dpkg", "-L", r.stdout.split(":")[0]], capture_output=True, text=True).stdout
        for name in listing.splitlines():
            if name.startswith(("/usr/share/doc", "/usr/share/man", "/usr/share/locale")) or not os.path.isfile(name):
                continue
            if os.access(name, os.X_OK) or ".so" in name:
                self.put_program(name)
            else:
                self.put(name)

    def pack(self, out):
        """Writes a newc archive, as the kernel's initramfs wants it; the same tree gives the same bytes."""
        names = sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*"))
        with open(out, "wb") as f:
            r = subprocess.run(["cpio", "-o", "-H", "newc", "--reproducible", "--quiet", "-R", "0:0"], cwd=self.root,
                               input="\n".join(names).encode(), stdout=f, stderr=subprocess.PIPE)
        if r.returncode:
            raise LabError(f"cpio: {r.stderr.decode().strip()}")


def disks():
    """Images for tests: one whose 8-byte words are all different, and an empty one for swap. Guests use them with `snapshot`."""
    numbers, swap = LAB / "numbers.img", LAB / "swap.img"
    if not numbers.exists():
        new = LAB / "numbers.new"
        with open(new, "wb") as f:
            f.write(b"".join((n * 0x9e3779b97f4a7c15 % 2**64).to_bytes(8, "little") for n in range(1, (16 << 20) // 8 + 1)))
            f.truncate(32 << 20)
        new.rename(numbers)
    if not swap.exists():
        with open(swap, "wb") as f:
            f.truncate(64 << 20)
    return [numbers, swap]


def stamp(paths):
    """A digest of files' names, sizes and times: has anything changed that goes into the image?"""
    h = hashlib.sha256()
    for p in sorted(str(x) for x in paths):
        st = os.stat(p)
        h.update(f"{p} {st.st_size} {st.st_mtime_ns}\n".encode())
    return h.hexdigest()[:16]


def build():
    """The base image. Returns (kernel, initrd, stamp); rebuilt when an ingredient has changed."""
    root, release = kernel()
    ours = modules()
    programs = {name: BUILD / sub / name for name, sub in
                (("trackbench", "lab/guest"), ("soundness", "lab/guest"), ("labctl", "lab/guest"), ("ooh", "tools"), ("test_trackers", "tests/lib"),
                 ("kvm_dirty_log", "tests/machine/kvm"))}
    for name, path in programs.items():
        if not path.exists():
            raise LabError(f"{path}: not built (run make first)")
    guest_tests = [p for p in (BUILD / "module/ooh-module-tests",) if p.exists()]
    system = [program(n, p) for n, p in (("redis-server", "redis-server"), ("redis-benchmark", "redis-tools"), ("redis-cli", "redis-tools"))]
    busybox = program("busybox", "busybox-static")
    init = SOURCE / "lab/guest/init"
    vmlinuz = root / "boot" / f"vmlinuz-{release}"
    mark = stamp(list(ours.values()) + list(programs.values()) + system + [busybox, init, vmlinuz, Path(__file__)])
    initrd = LAB / "initrd.cpio"
    if initrd.exists() and (LAB / "initrd.stamp").exists() and (LAB / "initrd.stamp").read_text() == mark:
        return vmlinuz, initrd, mark
    progress("building the guest image")
    tree = Tree(LAB / "root")
    tree.put(init, "/init", 0o755)
    tree.put(busybox, "/bin/busybox", 0o755)
    for name, path in programs.items():
        tree.put(path, f"/bin/{name}", 0o755)
        for lib in libraries(path):
            tree.put(lib, f"/lib/x86_64-linux-gnu/{lib.name}" if str(lib).startswith(str(BUILD)) else None, 0o755)
    for p in system:
        tree.put_program(p)
    for t in guest_tests:
        tree.put(t, f"/bin/{t.name}", 0o755)
    for name, ko in ours.items():
        tree.put(ko, f"/modules/{name}.ko", 0o644)
    for name in KERNEL_MODULES + VIRTIO:
        for ko in (root / "lib/modules").rglob(f"{name}.ko"):
            tree.put(ko, f"/modules/{name}.ko", 0o644)
    tree.pack(initrd)
    (LAB / "initrd.stamp").write_text(mark)
    return vmlinuz, initrd, mark
