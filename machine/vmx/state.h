/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VT-x state of one CPU. The current VMCS is kept decoded; the vmx room owns everything here, others may read. */
#ifndef OOH_MACHINE_VMX_STATE_H
#define OOH_MACHINE_VMX_STATE_H

#include "machine/core/clock.h"
#include "machine/core/types.h"

struct vmcs_cache; /* decoded current VMCS: machine/vmx/vmcs.h */

/* "Monitor trap flag": an exit is pending at the boundary after one instruction, or at the next one. */
enum vmx_mtf { MTF_OFF, MTF_AFTER_INSTRUCTION, MTF_PENDING };

struct vmx_state {
	bool on;       /* in VMX operation */
	bool nonroot;  /* in VMX non-root operation */
	bool ept;      /* non-root and "enable EPT" = 1: addresses after guest paging are guest-physical */
	bool ept_ad;   /* EPTP bit 6 */
	bool pml;      /* "enable PML" = 1 */
	bool mbec;     /* "mode-based execute control for EPT" = 1 */
	bool spp;      /* "sub-page write permissions for EPT" = 1 */
	u64 spptp;     /* with spp: the sub-page-permission table */
	bool vintr;    /* non-root: a pending virtual interrupt is recognized */
	u8 apic_due_size;
	u16 apic_due;  /* page offset of a virtualized write whose APIC-write emulation is due, 0: none */
	u64 apic_page; /* the APIC-access page, host-physical, in non-root operation with "virtualize APIC accesses"; else ~0 */
	u16 vpid;      /* the VPID in use: 0 in root operation or without "enable VPID" */
	u64 eptp;
	u64 vmxon_ptr, vmcs_ptr; /* ~0: none */
	u64 entered_at; /* cycle of the VM entry that put the CPU into non-root operation, or CYCLES_NONE */
	u64 exit_at;   /* cycle of the last VM exit: for exit_cycles by reason */
	u32 exit_reason;
	u8 exit_vector; /* with EXIT_EXCEPTION_NMI */
	bool timed_exit;     /* exit_at and exit_reason are of an exit that no entry has followed yet */
	bool vnmi_blocked;   /* virtual-NMI blocking: non-root with "virtual NMIs" = 1 */
	bool iret_unblocked; /* the IRET at iret_rip removed blocking by NMI: if it faults, the exit says so */
	bool timer_on;       /* VMX-preemption timer is running */
	bool timer_expired;
	bool paused;   /* a PAUSE at CPL 0 since VM entry: pause_first and pause_last are valid */
	u8 mtf;        /* monitor trap flag: enum vmx_mtf */
	u64 iret_rip;
	u64 pause_first, pause_last; /* PAUSE-loop exiting: TSC of the loop's first PAUSE and of the latest one */
	struct timer timer;
	const char *failed_rule; /* why the last VM entry failed: the rule's text, for dumps */
	struct vmcs_cache *vmcs;
};

#endif
