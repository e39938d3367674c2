/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VT-x state of one CPU. The current VMCS is kept decoded; the vmx room owns everything here. */
#ifndef OOH_MACHINE_VMX_STATE_H
#define OOH_MACHINE_VMX_STATE_H

#include "machine/core/types.h"

struct vmcs_cache; /* decoded current VMCS: vmx room */

struct vmx_state {
	bool on;       /* in VMX operation */
	bool nonroot;  /* in VMX non-root operation */
	bool ept;      /* non-root and "enable EPT" = 1: addresses after guest paging are guest-physical */
	bool ept_ad;   /* EPTP bit 6 */
	bool pml;      /* "enable PML" = 1 */
	u16 vpid;      /* the VPID in use: 0 in root operation or without "enable VPID" */
	u64 eptp;
	u64 vmxon_ptr, vmcs_ptr; /* ~0: none */
	u64 exit_at;   /* cycle of the last VM exit: for exit_cycles by reason */
	u32 exit_reason;
	struct vmcs_cache *vmcs;
};

#endif
