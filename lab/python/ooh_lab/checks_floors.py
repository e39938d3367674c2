# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypervisor's and the module's own tests, and soundness, run in the guest: see hypervisor/tests, module/tests and
lab/guest/sound.h."""

from . import image

BACKENDS = ("pml", "soft-dirty", "userfaultfd")
PML = "insmod /modules/ooh_hv.ko && insmod /modules/ooh.ko && ooh enable || exit 3\n"

# A kernel module's TAP lines are in the kernel log; its last line says how it ended.
HYPERVISOR = r"""insmod /modules/ooh_hv.ko || exit 3
dmesg -c >/dev/null
insmod /modules/ooh_hvtest.ko
dmesg | sed -n 's/^.*\(not ok\|ok\) \([0-9]\)/\1 \2/p'
dmesg | grep -q '# 0 of [0-9]* failed'
"""

# The races take minutes: with --long only.
MODULE = ["boundary", "sound", "process"]

DISKS = f"""for m in {' '.join(image.VIRTIO)}; do insmod /modules/$m.ko; done
insmod /modules/brd.ko rd_nr=1 rd_size=16384
for m in lzo-rle zsmalloc zram; do insmod /modules/$m.ko; done
cd /tmp
"""

OVERFLOW = r"""insmod /modules/ooh_hv.ko && insmod /modules/ooh.ko ring_entries=512 && ooh enable || exit 3
soundness --backend pml --only "the ring overflows"
"""

# Is soundness able to fail? Each round loses one page that the oracle (the content) shows to be written: all must be red.
MUTANTS = PML + r"""n=0 bad=0
for lost in oracle content; do
	for backend in pml soft-dirty userfaultfd; do
		n=$((n + 1))
		OOH_SOUND_DROP=$lost soundness --backend $backend --only stores >/tmp/out
		code=$?
		if [ $code = 1 ] && ! grep -q '^ok' /tmp/out && grep -q '^not ok' /tmp/out; then
			echo "ok $n - $backend: a page dropped behind the $lost's back is found"
		else
			echo "not ok $n - $backend: a page dropped behind the $lost's back is not found" && bad=1
		fi
	done
done
exit $bad
"""


def scripts(long):
    """[(name, script)]."""
    groups = "" if long else " ".join(MODULE)
    out = [("hypervisor", HYPERVISOR), ("module", PML + f"cd /tmp && ooh-module-tests {groups}")]
    rounds = "--rounds 400" if long else ""
    for backend in BACKENDS:
        out.append((f"soundness {backend}", PML + DISKS + f"soundness --backend {backend} {rounds}"))
        if long:
            out.append((f"soundness {backend} pressure", PML + DISKS + f"soundness --backend {backend} --only 'memory is short'"))
    out.append(("soundness overflow", OVERFLOW))
    out.append(("soundness mutants", MUTANTS))
    return out
