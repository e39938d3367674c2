# SPDX-License-Identifier: GPL-2.0-or-later
"""With --long: Debian boots from its own root file system on a virtio disk, runs a job under PML, and powers off."""
import hashlib
import shutil
import time

from . import rootfs
from .tap import results

SCRIPT = """. /etc/profile.d/ooh.sh
say() { [ $? = 0 ] && echo "ok - $*" || { echo "not ok - $*"; bad=1; }; }
[ "$(systemctl is-system-running --wait)" = running ]; say systemd is up, no unit failed
grep -q '^/dev/vda / ext4 rw' /proc/mounts; say the root file system is on the disk
dd if=/dev/urandom of=/var/tmp/x bs=1M count=4 2>/dev/null && sync && echo 3 >/proc/sys/vm/drop_caches && cp /var/tmp/x /dev/shm/x &&
	cmp /var/tmp/x /dev/shm/x; say a file is written and read back
networkctl >/dev/null 2>&1; n=0; until ip -4 -o a | grep -q 10.0.2.15; do n=$((n + 1)); [ $n -lt 20 ] || break; sleep 1; done
ping -c 1 10.0.2.2 >/dev/null; say an address by DHCP, and echo
insmod /run/ooh/modules/ooh_probe.ko && insmod /run/ooh/modules/ooh_hv.ko && insmod /run/ooh/modules/ooh.ko && ooh enable; say ooh enable
trackbench array --technique pml --megabytes 1 --rounds 3 | grep -q '"missed":0,'; say an array under PML
ooh disable; say ooh disable
exit $bad
"""


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run():
    """Rows (name, verdict, seconds, remark), as of checks.py."""
    if not shutil.which("mmdebstrap"):
        yield ("root file system: Debian with systemd", "skip", 0.0, "mmdebstrap is not installed")
        return
    begin = time.monotonic()
    before = digest(rootfs.disk())
    job = rootfs.Booted("rootfs-check", SCRIPT)
    status = job.wait()
    yield from results("root file system", job, status, time.monotonic() - begin)
    same = digest(rootfs.disk()) == before
    yield ("root file system: the image is as it was", "ok" if same else "FAIL", time.monotonic() - begin, "")
