# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypervisor's and the module's own tests, run in the guest: see hypervisor/tests and module/tests."""

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


def scripts(long):
    """[(name, script)]."""
    groups = "" if long else " ".join(MODULE)
    out = [("hypervisor", HYPERVISOR), ("module", PML + f"cd /tmp && ooh-module-tests {groups}")]
    rounds = "--rounds 400" if long else ""
    for backend in ("pml", "soft-dirty", "userfaultfd"):
        out.append((f"soundness {backend}", PML + f"cd /tmp && soundness --backend {backend} {rounds}"))
    return out
