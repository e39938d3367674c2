/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ooh_hv.ko, the hypervisor's loader, exports to the kernel module above it (EXPORT_SYMBOL_GPL).
 */
#ifndef OOH_ABI_HV_LOADER_H
#define OOH_ABI_HV_LOADER_H

#include <linux/types.h>

/*
 * Puts every online CPU under the hypervisor; Linux goes on as its guest. Sleeps. Returns 0, also if it was active;
 * -ENODEV if the CPUs lack something, -EPERM if the firmware has locked VMX off, -EBUSY if VMX is in use (KVM),
 * -ENOMEM, or another negative errno; then every CPU runs as before. The reason is in the kernel log, in one line.
 */
int ooh_hv_enable(void);

/* Takes every CPU out again and gives the memory back. Sleeps. Returns 0, also if it was not active, or a negative errno. */
int ooh_hv_disable(void);

bool ooh_hv_active(void);

/*
 * Changes whenever the hypervisor is enabled or disabled. Stores between a disable and the next enable are not logged: who
 * armed frames under another epoch must take them for dirty.
 */
u64 ooh_hv_epoch(void);

/*
 * A hypercall of abi/hypercall.h on this CPU, from any context. Returns its result (the OOH_HC_E* are errno values), or -ENODEV
 * if the hypervisor is not active. The CPU cannot leave during the call.
 */
long ooh_hypercall(unsigned int nr, u64 a, u64 b, u64 c);

#endif
