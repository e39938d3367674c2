/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of VT-x this CPU has: masks from supported.def. SDM 3D appendix A "VMX Capability Reporting Facility". */
#ifndef OOH_MACHINE_VMX_CAPS_H
#define OOH_MACHINE_VMX_CAPS_H

#include "arch/vmx.h"
#include "machine/core/types.h"

#define VMX_REVISION      0x0e0e0001u
#define VMX_REGION_SIZE   4096u
#define VMX_TIMER_SHIFT   5u  /* the preemption timer counts once in 32 TSC cycles */
#define VMX_CR3_TARGETS   4u
#define VMX_CR0_FIXED0    (CR0_PE | CR0_NE | CR0_PG)
#define VMX_CR4_FIXED0    CR4_VMXE

/*
 * Bits that must be 1 (as the TRUE capability MSRs report) and bits that may be 1, of the controls of a kind
 * (VMX_KIND_*).
 */
u32 vmx_control_must(unsigned kind);
u32 vmx_control_may(unsigned kind);
/* cap: VMX_CAP_*; VMX_CAP_ALWAYS is always supported. */
bool vmx_supported(unsigned cap);
/* IA32_VMX_EPT_VPID_CAP */
u64 vmx_ept_vpid_cap(void);
/* IA32_VMX_VMFUNC: the VM functions that there are. */
u64 vmx_vmfunc_cap(void);

#endif
