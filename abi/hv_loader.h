/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the hypervisor's loader module (ooh_hv.ko) exports (EXPORT_SYMBOL_GPL) to the kernel module above it (ooh.ko),
 * which finds it with symbol_get(), so that either can be loaded first. All are to be called from process context.
 */
#ifndef OOH_ABI_HV_LOADER_H
#define OOH_ABI_HV_LOADER_H

#include <linux/types.h>

/*
 * Starts the hypervisor on every CPU. 0; -EALREADY: it runs; -EOPNOTSUPP: the CPU lacks something; -EPERM: the firmware has
 * locked VMX off; -EBUSY: VMX is in use (KVM); -ENOMEM ... After an error every CPU runs as before, and the reason is one
 * line in the kernel log.
 */
int ooh_hv_enable(void);

/* Stops it on every CPU; execution goes on as if it had never been there. 0; -EALREADY: it does not run. */
int ooh_hv_disable(void);

/* Whether every online CPU is in non-root mode under it. */
bool ooh_hv_active(void);

/*
 * Changes whenever the hypervisor is started or stopped. Stores between a stop and the next start are not logged: who armed
 * frames under another epoch must take them for dirty.
 */
u64 ooh_hv_epoch(void);

/*
 * One hypercall on the CPU it is called on; callable with preemption or interrupts disabled (from an IPI too). nr:
 * enum ooh_hypercall. Returns what the hypervisor returned: a count or a negative OOH_HC_E*; OOH_HC_ENOSYS when it is
 * not active.
 */
long ooh_hypercall(unsigned int nr, u64 a, u64 b, u64 c);

#endif
